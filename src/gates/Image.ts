/**
 * The files of this release's image: `release.json`, `surface.json`, `migrations/`, `bin/squawk`.
 *
 * In the image they lie beside `deliver.js`; in a checkout they lie at its root, and the commit must be given by hand.
 */
import { existsSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { dirname, join, resolve } from "node:path"
import { Data, Effect, Schema } from "effect"

/** A file that the image must hold is missing or malformed. */
export class ImageIncomplete extends Data.TaggedError("ImageIncomplete")<{ readonly message: string }> {}

/** `AGENT_IMAGE_ROOT`, else the folder of the running bundle, else the checkout. */
export const root = (env: Readonly<Record<string, string | undefined>> = process.env): string => {
  const given = env["AGENT_IMAGE_ROOT"]
  if (given !== undefined && given !== "") return resolve(given)
  // Not import.meta: parts of the bundle that are loaded later lie in a folder below.
  const beside = dirname(resolve(process.argv[1] ?? "."))
  return existsSync(join(beside, "release.json")) ? beside : resolve(import.meta.dirname, "../..")
}

const readJson = (path: string, why: string): Effect.Effect<unknown, ImageIncomplete> =>
  Effect.tryPromise({
    try: () => readFile(path, "utf8"),
    catch: (cause) =>
      new ImageIncomplete({
        message: `${path} can't be read: ${cause instanceof Error ? cause.message : cause}. ${why}`
      })
  }).pipe(
    Effect.flatMap((text) =>
      Effect.try({
        try: () => JSON.parse(text) as unknown,
        catch: (cause) =>
          new ImageIncomplete({
            message: `${path} is not JSON: ${cause instanceof Error ? cause.message : cause}. Build the image again.`
          })
      })
    )
  )

const ReleaseFile = Schema.Struct({ commit: Schema.NonEmptyTrimmedString })

/** The commit this image was built from; `source` in a checkout, as the runtime has it. */
export const release = (folder: string): Effect.Effect<string, ImageIncomplete> =>
  (existsSync(join(folder, "tsconfig.json")) && !existsSync(join(folder, "release.json"))
    ? Effect.succeed<unknown>({ commit: "source" })
    : readJson(join(folder, "release.json"), "It says which release this is, and is part of the image: build it again.")
  ).pipe(
    Effect.flatMap(Schema.decodeUnknown(ReleaseFile)),
    Effect.map(({ commit }) => commit),
    Effect.catchTag("ParseError", () =>
      Effect.fail(
        new ImageIncomplete({
          message: `${join(folder, "release.json")} must be {"commit": "<sha>"}. Build the image again.`
        })
      )
    )
  )

/** The surface of this image, as it is recorded, and decoded by what the caller needs of it. */
export const surface = <A, I>(
  folder: string,
  schema: Schema.Schema<A, I>
): Effect.Effect<{ readonly json: unknown; readonly decoded: A }, ImageIncomplete> =>
  readJson(
    join(folder, "surface.json"),
    'It lists what this release needs of the database. "deliver surface" makes it; it is committed and part of the image.'
  ).pipe(
    Effect.flatMap((json) =>
      Schema.decodeUnknown(schema)(json).pipe(
        Effect.map((decoded) => ({ json, decoded })),
        Effect.mapError(
          (error) =>
            new ImageIncomplete({
              message: `${join(folder, "surface.json")} is not a surface: ${error.message.split("\n").at(-1)?.trim()}. Run "deliver surface" and commit the result.`
            })
        )
      )
    )
  )
