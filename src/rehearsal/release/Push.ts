/**
 * A release's images, where a cluster can pull them.
 *
 * What builds and pushes differs from place to place (docker, buildah, Cloud Build), so it is a command of the person's:
 * `COMMAND FOLDER NAME:TAG` builds the folder's Dockerfile, pushes it, and prints the reference by digest as its last line.
 */
import { cp, mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { Effect } from "effect"
import { ToolFailed } from "../Errors.ts"
import { exec } from "../Exec.ts"
import { Release } from "./Release.ts"

/** The last stage of the repository's Dockerfile. What its first stage makes is there already: the release was built once. */
const AGENTS = `FROM gcr.io/distroless/nodejs24-debian12:nonroot
COPY app /app
WORKDIR /app
ENV NODE_ENV=production
USER 65532:65532
CMD ["/app/runner.js"]
`

const REFERENCE = /^\S+@sha256:[0-9a-f]{64}$/

/** Has a folder with a Dockerfile built and pushed. The image by digest. */
export const buildImage = (command: string, folder: string, tag: string): Effect.Effect<string, ToolFailed> =>
  Effect.flatMap(exec(command, [folder, tag]), (said) => {
    const reference = said.trim().split("\n").at(-1) ?? ""
    return REFERENCE.test(reference)
      ? Effect.succeed(reference)
      : new ToolFailed({
          message: `"${command} ${folder} ${tag}" ended well and printed ${JSON.stringify(reference)} as its last line. It must be the pushed image by digest: NAME@sha256:....`
        })
  })

/** The same release under the names that the cluster knows. */
export const push = (
  release: Release,
  options: { readonly command: string; readonly folder: string }
): Effect.Effect<Release, ToolFailed> =>
  Effect.gen(function* () {
    const images = yield* Effect.forEach(Object.keys(release.images), (name) =>
      Effect.gen(function* () {
        const from = join(release.source, "..", name)
        const context = join(options.folder, release.name, name)
        yield* Effect.tryPromise({
          try: async () => {
            await mkdir(join(context, ".."), { recursive: true })
            // The smoke image's Dockerfile is the release's own.
            await cp(name === "agents-smoke" ? join(from, "smoke") : from, context, { recursive: true })
            if (name === "agents") await writeFile(join(context, "Dockerfile"), AGENTS)
          },
          catch: (cause) =>
            new ToolFailed({ message: `The image ${name} of ${release.name} can't be prepared: ${cause}` })
        })
        const reference = yield* buildImage(options.command, context, `${name}:${release.name}`)
        return [name, reference] as const
      })
    )
    return Release.make({ ...release, images: Object.fromEntries(images) })
  })
