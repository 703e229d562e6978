/** What is executed for a container: its words, paths and variables as they are on this machine. */
import { createHash } from "node:crypto"
import { mkdirSync } from "node:fs"
import { delimiter, dirname, isAbsolute, join } from "node:path"
import { Data, Effect } from "effect"
import { imageMappings, type Mapping, mapArgument, mapPath } from "./ContainerPaths.ts"
import type { Command } from "./ContainerProcess.ts"
import type { Janitor } from "./Janitor.ts"
import type { NamesFiles } from "./Names.ts"
import type { PodEvent } from "./PodEvent.ts"
import type { PodRecord } from "./PodRecord.ts"
import type { Container } from "./PodSpec.ts"
import type { Store } from "./Store.ts"
import { environmentOf, expand } from "./Variables.ts"
import type { Volumes } from "./Volumes.ts"

/** Something is not there yet; the kubelet would try again. */
export class Waiting extends Data.TaggedError("Waiting")<{ readonly reason: string; readonly message: string }> {}

/** No folder holds this image. */
export class ImageNotFound extends Data.TaggedError("ImageNotFound")<{
  readonly image: string
  readonly message: string
}> {}

/** What a pod needs to know of its cluster. */
export interface PodHost {
  readonly namespace: string
  readonly folder: string
  readonly store: Store
  readonly names: NamesFiles
  readonly janitor: Janitor
  readonly fastStart: boolean
  readonly executables: Readonly<Record<string, string>>
  readonly image: (ref: string) => Effect.Effect<{ readonly root: string }, ImageNotFound>
  /** Compiled code is kept here, for each image. */
  readonly compileCache: string
  /** Variables that the cluster itself provides to a pod. */
  readonly platform: (pod: PodRecord) => Readonly<Record<string, string>>
  /** Fails while the pod may not start, for example without its service account. */
  readonly admitPod: (pod: PodRecord) => Effect.Effect<void, Waiting>
  /** Something about a pod changed: the controllers look again. */
  readonly changed: () => void
  readonly event: (pod: PodRecord, type: PodEvent["type"], message?: string) => void
}

export const podFolder = (host: PodHost, pod: PodRecord): string => join(host.folder, "pods", pod.name)

/** Where Kubernetes mounts the token. Code that can't be told another path can't be run as a process. */
export const TOKEN_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"
export const tokenFolder = (host: PodHost, pod: PodRecord): string => join(podFolder(host, pod), "serviceaccount")

/** As a URL, whatever characters its path has. */
const preload = new URL("podnet.mjs", import.meta.url).href

const mappingsOf = (container: Container, pod: PodRecord, host: PodHost, volumes: Volumes, root: string) => [
  ...imageMappings(root),
  { from: TOKEN_FOLDER, to: tokenFolder(host, pod) },
  ...(container.volumeMounts ?? []).map(
    ({ mountPath, name }): Mapping => ({
      from: mountPath.replace(/\/+$/, ""),
      to: volumes.folder(name)
    })
  )
]

/** The words to run, by default the container's own; a probe or hook brings its own. */
export const commandOf = (
  container: Container,
  pod: PodRecord,
  host: PodHost,
  options: { readonly env: Readonly<Record<string, string>> },
  volumes: Volumes,
  words: ReadonlyArray<string> = [...(container.command ?? []), ...(container.args ?? [])]
): Effect.Effect<Command, Waiting> =>
  Effect.gen(function* () {
    const { root } = yield* host
      .image(container.image)
      .pipe(Effect.mapError(({ message }) => new Waiting({ reason: "ImagePullBackOff", message })))
    const declared = yield* environmentOf(container, pod, host.namespace, host.store, options.env).pipe(
      Effect.mapError((message) => new Waiting({ reason: "CreateContainerConfigError", message }))
    )
    const mappings = yield* Effect.try({
      try: () => mappingsOf(container, pod, host, volumes, root),
      catch: () => new Waiting({ reason: "ImagePullBackOff", message: `the image's folder ${root} can't be read` })
    })
    const mapped = Object.fromEntries(Object.entries(declared).map(([key, value]) => [key, mapPath(value, mappings)]))
    const home = join(podFolder(host, pod), "home")
    const temporary = mapPath("/tmp", mappings)
    mkdirSync(home, { recursive: true, mode: 0o700 })
    const known = Object.values(host.executables).filter(isAbsolute).map(dirname)
    const cache = join(host.compileCache, createHash("sha256").update(root).digest("hex").slice(0, 16))
    const [first = "", ...rest] = words.map((word) => expand(word, declared))
    return {
      executable: host.executables[first] ?? mapPath(first, mappings),
      args: rest.map((word) => mapArgument(word, mappings)),
      cwd: container.workingDir === undefined ? root : mapPath(container.workingDir, mappings),
      env: {
        PATH: [...new Set(known), process.env["PATH"] ?? ""].join(delimiter),
        HOME: home,
        HOSTNAME: pod.name,
        TMPDIR: temporary === "/tmp" ? home : temporary,
        // Containers run in UTC; a laptop does not.
        TZ: "UTC",
        K6_CONFIG: host.names.k6,
        ...host.platform(pod),
        NODE_COMPILE_CACHE: cache,
        ...mapped,
        NODE_OPTIONS: `${mapped["NODE_OPTIONS"] ?? ""} --import=${preload}`.trim(),
        PODNET_ADDRESS: pod.address,
        PODNET_HOSTS: host.names.hosts
      }
    }
  })
