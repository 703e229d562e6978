import { allWorkloads, overlays, type Rule } from "../Rule.ts"

const DIGEST = /@sha256:[0-9a-f]{64}$/

/** Once a release's images have been put in, each is named by digest: a tag can be moved after the gates have run. */
export const imageDigests: Rule = {
  name: "image-digests",
  covers: (set) => (set.released ? `${overlays(set).length} overlays` : "nothing: no release's images were put in"),
  check: (set) => {
    if (!set.released) return []
    return allWorkloads(set).flatMap(({ where, workload }) =>
      [...workload.pod.initContainers, ...workload.pod.containers]
        .filter(({ image }) => image === undefined || !DIGEST.test(image))
        .map((container) => ({
          rule: "image-digests",
          severity: "hazard" as const,
          what: `Container ${container.name} of ${workload.id} runs ${container.image ?? "no image"}, which is not named by digest.`,
          where: `${where}: ${workload.id}`,
          why: "A tag can mean another image tomorrow than the one the gates have judged; a bare artifact name means that nothing was put in its place.",
          fix: "Write the image exactly as the artifact in skaffold.yaml, and create the release with --images NAME=REPOSITORY@sha256:DIGEST."
        }))
    )
  }
}
