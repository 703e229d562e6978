/** A rule of the workflow gate: what one open execution, or one open call, demands of the release that is to carry it. */
import { Effect, Either, ParseResult, Schema } from "effect"
import type { AnyDeclaration, AnyEntity } from "../../surface/Declared.ts"
import type { Sharding } from "../../surface/Surface.ts"
import type { Severity } from "../Evidence.ts"
import type { Execution, KeptResult, OpenCall } from "./OpenWork.ts"

/** The release that is judged: its own code, since the gate runs from its image. */
export interface Candidate {
  readonly release: string
  readonly declarations: ReadonlyMap<string, AnyDeclaration>
  readonly entities: ReadonlyMap<string, AnyEntity>
  readonly sharding: Sharding
  /**
   * Activities that this release has and that no release which wrote here had: where the work of a missing one may have
   * gone. Undefined when no such release is recorded.
   */
  readonly newActivities: (workflow: string) => ReadonlyArray<string> | undefined
}

/** What a rule has against one execution. Those with the same rule and subject are told once, with their number. */
export interface Problem {
  readonly rule: string
  readonly severity: Severity
  /** What it is about, as the comparison of surfaces names it: `AgentWorkflow / activity Plan`. */
  readonly subject: string
  readonly what: string
  readonly why: string
  readonly fix: string
  readonly detail?: string
}

type Judge<A> = (work: A, candidate: Candidate) => Effect.Effect<ReadonlyArray<Problem>>

export interface ExecutionRule {
  /** What it looks at, and how: for the evidence. */
  readonly name: string
  readonly how: string
  readonly judge: Judge<Execution>
}

export interface CallRule {
  readonly name: string
  readonly how: string
  readonly judge: Judge<OpenCall>
}

export interface ResultRule {
  readonly name: string
  readonly how: string
  readonly judge: Judge<KeptResult>
}

export const fine: Effect.Effect<ReadonlyArray<Problem>> = Effect.succeed([])

/** What several looks found. Nearly always nothing, which is told without an effect each. */
export const all = (
  judged: ReadonlyArray<Effect.Effect<ReadonlyArray<Problem>>>
): Effect.Effect<ReadonlyArray<Problem>> => {
  const found = judged.filter((each) => each !== fine)
  return found.length === 0 ? fine : Effect.map(Effect.all(found), (problems) => problems.flat())
}

/**
 * Why a value does not decode: places and expectations only. What the value holds is a person's data, and evidence is kept.
 */
const explain = (error: ParseResult.ParseError): string =>
  ParseResult.ArrayFormatter.formatErrorSync(error)
    .slice(0, 3)
    .map(
      ({ path, message }) => `${path.length === 0 ? "the value" : path.map(String).join(".")}: ${expectation(message)}`
    )
    .join("\n")

const expectation = (message: string): string => (message.split(", actual ")[0] ?? message).split("\n")[0]!

/** What `decodes` and `decodesExit` answer when nothing had to be waited for: nearly always, so rules look for it by itself. */
export const readable = Effect.succeed(Either.right<void>(undefined))

/** False: it does not decode, or not without waiting. One more look tells which, and why. */
const decodesAtOnce = (schema: Schema.Schema.All, value: unknown): boolean => {
  try {
    return Either.isRight(Schema.decodeUnknownEither(schema as unknown as Schema.Schema<unknown, unknown>)(value))
  } catch {
    return false
  }
}

/** Decodes as the release itself would; the left is the reason, without the value. */
export const decodes = (schema: Schema.Schema.All, value: unknown): Effect.Effect<Either.Either<void, string>> =>
  decodesAtOnce(schema, value) ? readable : decodesSlowly(schema, value)

const decodesSlowly = (schema: Schema.Schema.All, value: unknown): Effect.Effect<Either.Either<void, string>> =>
  Schema.decodeUnknown(schema as Schema.Schema.AnyNoContext, { errors: "all" })(value).pipe(
    Effect.match({ onFailure: (error) => Either.left(explain(error)), onSuccess: () => Either.right(undefined) }),
    // A transformation that throws refuses the value as surely as one that says so.
    Effect.catchAllDefect(() => Effect.succeed(Either.left("the schema's own code throws on it")))
  )

const exits = new WeakMap<object, WeakMap<object, Schema.Schema.All>>()

/** A recorded exit. Nearly all are successes, and their value is all there is to decode. */
export const decodesExit = (
  success: Schema.Schema.Any,
  error: Schema.Schema.All,
  exit: unknown
): Effect.Effect<Either.Either<void, string>> => {
  const { _tag, value } = (typeof exit === "object" && exit !== null ? exit : {}) as Readonly<Record<string, unknown>>
  return _tag === "Success" && decodesAtOnce(success, value) ? readable : decodes(exitOf(success, error), exit)
}

/** The schema of a recorded exit. Kept: one is made per activity and not per row. */
const exitOf = (success: Schema.Schema.Any, error: Schema.Schema.All): Schema.Schema.All => {
  const bySuccess = exits.get(success) ?? new WeakMap<object, Schema.Schema.All>()
  exits.set(success, bySuccess)
  const known = bySuccess.get(error)
  if (known !== undefined) return known
  const made: Schema.Schema.All = Schema.Exit({ success, failure: error, defect: Schema.Defect })
  bySuccess.set(error, made)
  return made
}
