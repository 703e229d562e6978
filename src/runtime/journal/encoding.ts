/** How the exit of a step becomes a row of the journal, and comes back: as the engine would have stored and read it. */

import { createHash } from "node:crypto"
import { type Activity, Workflow } from "@effect/workflow"
import { Effect, Exit, Schema } from "effect"

const AnyExit = Schema.Exit({ success: Schema.Unknown, failure: Schema.Unknown, defect: Schema.Defect })
const encodeAny = Schema.encodeSync(AnyExit)
const decodeAny = Schema.decodeUnknownSync(AnyExit)

/** `exit` holds what the activity's own schemas made of its result, see `Activity.executeEncoded`. */
export const encodeExit = (exit: Exit.Exit<unknown, unknown>): string =>
  JSON.stringify(Exit.isSuccess(exit) ? { _tag: "Success", value: exit.value } : encodeAny(exit))

type Decode = (value: unknown) => Effect.Effect<unknown, unknown>

/** By schema: activities are made anew for each execution, their schemas are not. */
const decoders = new WeakMap<object, Decode>()
const decoderOf = (schema: Schema.Schema.Any): Decode => {
  const known = decoders.get(schema)
  if (known !== undefined) return known
  const made = Schema.decodeUnknown(schema as Schema.Schema<unknown, unknown>) as Decode
  decoders.set(schema, made)
  return made
}

/** What the workflow's function gets. A row that this release can't read is a defect of the execution, as in the engine. */
export const decodeExit = (activity: Activity.Any, row: string): Effect.Effect<Workflow.Complete<unknown, unknown>> => {
  const stored = JSON.parse(row) as { readonly _tag?: unknown; readonly value?: unknown }
  // What most rows are: the schema of an exit would only look at it.
  const exit = stored._tag === "Success" ? Exit.succeed(stored.value) : decodeAny(stored)
  if (Exit.isSuccess(exit)) {
    return Effect.orDie(
      Effect.map(
        decoderOf(activity.successSchema)(exit.value),
        (value) => new Workflow.Complete<unknown, unknown>({ exit: Exit.succeed(value) })
      )
    )
  }
  const { exitSchema } = activity as unknown as { readonly exitSchema: Schema.Schema<Exit.Exit<unknown, unknown>> }
  return Effect.orDie(
    Effect.map(
      Schema.decodeUnknown(exitSchema)(exit),
      (decoded) => new Workflow.Complete<unknown, unknown>({ exit: decoded })
    )
  )
}

const fingerprints = new WeakMap<object, WeakMap<object, string>>()

/** A short digest of the schemas that an activity encodes with: it differs when their text does. */
export const fingerprintOf = ({ successSchema, errorSchema }: Activity.Any): string => {
  const ofSuccess = fingerprints.get(successSchema) ?? new WeakMap<object, string>()
  fingerprints.set(successSchema, ofSuccess)
  const known = ofSuccess.get(errorSchema)
  if (known !== undefined) return known
  const made = createHash("sha256").update(`${successSchema}\n${errorSchema}`).digest("hex").slice(0, 16)
  ofSuccess.set(errorSchema, made)
  return made
}
