/** The little of Cloud Storage that `gcloud deploy` needs: buckets that are always there, and objects that were uploaded. */
import { createHash } from "node:crypto"
import { mkdir, rename, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { Effect } from "effect"
import { fail, GoogleError, notFound } from "../engine/GoogleError.ts"
import type { Store } from "../engine/Store.ts"

export interface StoredObject {
  readonly bucket: string
  readonly name: string
  readonly size: number
  readonly file: string
}

const BUCKET = /^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$/
const NAME_LIMIT_BYTES = 1024

export const bucketName = (name: unknown): Effect.Effect<string, GoogleError> =>
  typeof name === "string" && BUCKET.test(name)
    ? Effect.succeed(name)
    : fail("INVALID_ARGUMENT", `"${String(name).slice(0, 80)}" is no bucket name.`)

const checked = (bucket: string, name: string) =>
  Effect.zipRight(
    bucketName(bucket),
    name === "" || Buffer.byteLength(name) > NAME_LIMIT_BYTES || /[\r\n\0]/.test(name)
      ? fail("INVALID_ARGUMENT", `An object's name has 1 to ${NAME_LIMIT_BYTES} bytes without line ends.`)
      : Effect.void
  )

export const make = (store: Store, folder: string) => {
  const broken = (cause: unknown) =>
    new GoogleError({ status: "INTERNAL", message: `The object store failed: ${cause}` })
  const keep = (bucket: string, name: string, file: string, size: number) =>
    store.sql`insert into objects (bucket, name, size, file) values (${bucket}, ${name}, ${size}, ${file})
      on conflict (bucket, name) do update set size = excluded.size, file = excluded.file`.pipe(Effect.mapError(broken))
  const find = (bucket: string, name: string): Effect.Effect<StoredObject, GoogleError> =>
    store.sql<{
      size: string
      file: string
    }>`select size::text, file from objects where bucket = ${bucket} and name = ${name}`.pipe(
      Effect.mapError(broken),
      Effect.flatMap(([row]) =>
        row === undefined
          ? notFound(`gs://${bucket}/${name}`)
          : Effect.succeed({ bucket, name, size: Number(row.size), file: row.file })
      )
    )
  return {
    find,
    /** The content's hash names the file: a name from outside never becomes a path. */
    put: (bucket: string, name: string, content: Buffer): Effect.Effect<StoredObject, GoogleError> =>
      Effect.gen(function* () {
        yield* checked(bucket, name)
        const file = join(folder, createHash("sha256").update(content).digest("hex"))
        yield* Effect.tryPromise({
          try: async () => {
            await mkdir(folder, { recursive: true, mode: 0o700 })
            await writeFile(`${file}.new`, content, { mode: 0o600 })
            await rename(`${file}.new`, file)
          },
          catch: broken
        })
        yield* keep(bucket, name, file, content.length)
        return { bucket, name, size: content.length, file }
      }),
    copy: (from: StoredObject, bucket: string, name: string): Effect.Effect<StoredObject, GoogleError> =>
      checked(bucket, name).pipe(
        Effect.zipRight(keep(bucket, name, from.file, from.size)),
        Effect.as({ ...from, bucket, name })
      ),
    /** `gs://bucket/name` of a release's source. */
    ofUri: (uri: string): Effect.Effect<StoredObject, GoogleError> => {
      const match = /^gs:\/\/([^/]+)\/(.+)$/.exec(uri)
      return match === null
        ? fail("INVALID_ARGUMENT", `skaffoldConfigUri must be gs://BUCKET/OBJECT, not "${uri.slice(0, 120)}".`)
        : find(match[1]!, match[2]!)
    }
  }
}

export type Objects = ReturnType<typeof make>

/** The object's bytes of a `multipart/related` upload: the second part, the first being its description. */
export const multipart = (
  contentType: string,
  body: Buffer
): { readonly name?: string; readonly content: Buffer } | undefined => {
  // gcloud puts it in single quotes.
  const boundary = /boundary=["']?([^"';]+)["']?/.exec(contentType)?.[1]
  if (boundary === undefined) return undefined
  const mark = Buffer.from(`--${boundary}`)
  const parts: Array<Buffer> = []
  let from = body.indexOf(mark)
  // Two are wanted: a body of nothing but marks would be cut into millions.
  while (from !== -1 && parts.length < 2) {
    const to = body.indexOf(mark, from + mark.length)
    if (to === -1) break
    parts.push(body.subarray(from + mark.length, to))
    from = to
  }
  const contents = parts.map((part) => {
    for (const gap of ["\r\n\r\n", "\n\n"]) {
      const at = part.indexOf(gap)
      if (at !== -1) {
        const end = part.subarray(-2).toString() === "\r\n" ? part.length - 2 : part.length - 1
        return part.subarray(at + gap.length, end)
      }
    }
    return undefined
  })
  const [description, content] = contents
  if (description === undefined || content === undefined) return undefined
  try {
    const name: unknown = (JSON.parse(description.toString("utf8")) as { readonly name?: unknown } | null)?.name
    return { content, ...(typeof name === "string" ? { name } : {}) }
  } catch {
    return undefined
  }
}
