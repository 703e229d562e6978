/**
 * Volumes as folders below the pod's own.
 *
 * Files of ConfigMaps and Secrets are laid out as the kubelet does it: a folder for each version, a link `..data` to the present
 * one, and a link for each file through `..data`. An update renames the link, so all files change at once, and a program
 * that watches sees on this machine what it would see on a cluster.
 */
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { dirname, join } from "node:path"
import { Either } from "effect"
import type { PodRecord } from "./PodRecord.ts"
import type { Volume } from "./PodSpec.ts"
import { canonical } from "./Revision.ts"
import type { Store } from "./Store.ts"
import { fieldOf } from "./Variables.ts"

/** The kubelet's default: readable by all, writable by the owner. */
const DEFAULT_MODE = 0o644

interface File {
  readonly path: string
  readonly content: Buffer
  readonly mode: number
}

export interface VolumeContext {
  readonly pod: PodRecord
  readonly namespace: string
  readonly store: Store
  /** The pod's token for the cluster's API. */
  readonly token: string
}

interface KeyedSource {
  readonly items?:
    | ReadonlyArray<{ readonly key: string; readonly path: string; readonly mode?: number | undefined }>
    | undefined
  readonly optional?: boolean | undefined
}

const keyed = (
  kind: "ConfigMap" | "Secret",
  name: string,
  source: KeyedSource,
  defaultMode: number,
  store: Store
): Either.Either<ReadonlyArray<File>, string> => {
  const content = store.content(kind, name)
  if (content === undefined) return source.optional ? Either.right([]) : Either.left(`${kind} "${name}" not found`)
  if (source.items === undefined) {
    return Either.right([...content].map(([path, value]) => ({ path, content: value, mode: defaultMode })))
  }
  return Either.all(
    source.items.map(({ key, path, mode }) => {
      const value = content.get(key)
      return value === undefined
        ? Either.left(`${kind} "${name}" has no key "${key}"`)
        : Either.right({ path, content: value, mode: mode ?? defaultMode })
    })
  )
}

const downward = (
  items: ReadonlyArray<{
    readonly path: string
    readonly fieldRef: { readonly fieldPath: string }
    readonly mode?: number | undefined
  }>,
  defaultMode: number,
  context: VolumeContext
): ReadonlyArray<File> =>
  items.map(({ path, fieldRef, mode }) => ({
    path,
    content: Buffer.from(fieldOf(fieldRef.fieldPath, context.pod, context.namespace)),
    mode: mode ?? defaultMode
  }))

/** The files of a volume, or why it can't be made yet. An emptyDir has none of its own. */
const filesOf = (volume: Volume, context: VolumeContext): Either.Either<ReadonlyArray<File>, string> => {
  const { store } = context
  if (volume.configMap) {
    return keyed(
      "ConfigMap",
      volume.configMap.name,
      volume.configMap,
      volume.configMap.defaultMode ?? DEFAULT_MODE,
      store
    )
  }
  if (volume.secret) {
    return keyed("Secret", volume.secret.secretName, volume.secret, volume.secret.defaultMode ?? DEFAULT_MODE, store)
  }
  if (volume.downwardAPI) {
    return Either.right(downward(volume.downwardAPI.items, volume.downwardAPI.defaultMode ?? DEFAULT_MODE, context))
  }
  const mode = volume.projected?.defaultMode ?? DEFAULT_MODE
  return Either.map(
    Either.all(
      (volume.projected?.sources ?? []).flatMap(
        (source): ReadonlyArray<Either.Either<ReadonlyArray<File>, string>> => [
          ...(source.configMap ? [keyed("ConfigMap", source.configMap.name, source.configMap, mode, store)] : []),
          ...(source.secret ? [keyed("Secret", source.secret.name, source.secret, mode, store)] : []),
          ...(source.downwardAPI ? [Either.right(downward(source.downwardAPI.items, mode, context))] : []),
          ...(source.serviceAccountToken
            ? [Either.right([{ path: source.serviceAccountToken.path, content: Buffer.from(context.token), mode }])]
            : [])
        ]
      )
    ),
    (parts) => parts.flat()
  )
}

const linkTo = (target: string, path: string) => {
  symlinkSync(target, `${path}.new`)
  renameSync(`${path}.new`, path)
}

const present = (path: string) => {
  try {
    lstatSync(path)
    return true
  } catch {
    return false
  }
}

let version = 0

/** Writes a new version beside the old one, switches over, and removes the old one. */
const publish = (folder: string, files: ReadonlyArray<File>) => {
  const data = join(folder, "..data")
  const previous = present(data) ? readlinkSync(data) : undefined
  const next = `..${Date.now()}_${++version}`
  for (const file of files) {
    const path = join(folder, next, file.path)
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    writeFileSync(path, file.content)
    chmodSync(path, file.mode)
  }
  mkdirSync(join(folder, next), { recursive: true })
  linkTo(next, data)
  const tops = new Set(files.map(({ path }) => path.split("/")[0] ?? path))
  for (const top of tops) if (!present(join(folder, top))) symlinkSync(join("..data", top), join(folder, top))
  for (const entry of readdirSync(folder)) {
    if (!entry.startsWith("..") && !tops.has(entry)) rmSync(join(folder, entry), { force: true })
  }
  if (previous !== undefined) rmSync(join(folder, previous), { recursive: true, force: true })
}

export interface Volumes {
  /** The folder of a volume. */
  readonly folder: (name: string) => string
  /** Brings all volumes up to date. Left: the first one that can't be made, and why. */
  readonly sync: () => Either.Either<void, string>
}

export const make = (root: string, volumes: ReadonlyArray<Volume>, context: VolumeContext): Volumes => {
  const written = new Map<string, string>()
  const folder = (name: string) => join(root, name)
  return {
    folder,
    sync: () =>
      Either.gen(function* () {
        for (const volume of volumes) {
          const path = folder(volume.name)
          mkdirSync(path, { recursive: true, mode: 0o700 })
          if (volume.emptyDir) continue
          const files = yield* Either.mapLeft(filesOf(volume, context), (why) => `volume "${volume.name}": ${why}`)
          const text = canonical(files.map(({ path, content, mode }) => [path, content.toString("base64"), mode]))
          if (written.get(volume.name) === text) continue
          publish(path, files)
          written.set(volume.name, text)
        }
      })
  }
}
