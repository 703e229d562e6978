/** One run of one workflow function on the replay engine: what it asks for, and what it is answered. */
import { Arbitrary, Effect, Exit, FastCheck, Schema } from "effect"
import { type Answer, activityKey, effectOf, type Recording } from "./Recording.ts"

export interface Asked {
  readonly kind: "activity" | "deferred" | "clock" | "workflow"
  readonly name: string
  /** Of an activity; 1 for the others. */
  readonly attempt: number
  /** Of a workflow that was started: which execution. */
  readonly id?: string
  /** `sample`: made up, to see what would be asked for next. */
  readonly answer: Answer["_tag"] | "sample"
}

export const keyOf = ({ kind, name, attempt, id = "" }: Asked): string =>
  `${kind} ${activityKey(name, attempt)} ${id}`.trimEnd()

/** More than any execution here may ask for: its rows would be as many. */
const ASKED = 10_000
const SAMPLES = 100

export interface Schemas {
  readonly success: Schema.Schema.Any
  readonly error: Schema.Schema.All
}

const samples = new WeakMap<object, { readonly exit: Exit.Exit<unknown, never> | undefined }>()

/** A value that the step could have answered, in its stored form; the same each time. */
const sampleOf = ({ success }: Schemas): Exit.Exit<unknown, never> | undefined => {
  const known = samples.get(success.ast)
  if (known !== undefined) return known.exit
  let exit: Exit.Exit<unknown, never> | undefined
  try {
    const schema = success as Schema.Schema.AnyNoContext
    const [value] = FastCheck.sample(Arbitrary.make(schema), { seed: 1, numRuns: 1 })
    exit = Exit.succeed(Schema.encodeSync(schema)(value))
  } catch {
    // A schema without a generator, or one that its own filter refuses: what comes after is not looked at.
  }
  samples.set(success.ast, { exit })
  return exit
}

export class Session {
  readonly asked: Array<Asked> = []
  private readonly waiting: Array<() => void> = []
  private closed = false
  private sampled = 0
  readonly recording: Recording
  /** Answers what nobody recorded with samples, to see what the function would ask for beyond. */
  readonly beyond: boolean
  constructor(recording: Recording, beyond: boolean) {
    this.recording = recording
    this.beyond = beyond
  }

  get blocked(): boolean {
    return this.waiting.length > 0
  }

  get full(): boolean {
    return this.asked.length >= ASKED
  }

  /** Notes a step that the record answers. False: it may ask no more. */
  took(ask: Omit<Asked, "answer">): boolean {
    if (this.closed || this.full) return false
    this.asked.push({ ...ask, answer: "recorded" })
    return true
  }

  /** Answers from the record, or waits: nothing is carried out here. */
  answer(
    ask: Omit<Asked, "answer">,
    recorded: Answer,
    schemas: Schemas | undefined
  ): Effect.Effect<Exit.Exit<unknown, unknown>> {
    if (this.closed || this.full) return Effect.interrupt
    const known = effectOf(recorded)
    if (known !== undefined) {
      this.asked.push({ ...ask, answer: recorded._tag })
      return known
    }
    const sample = this.beyond && schemas !== undefined && this.sampled++ < SAMPLES ? sampleOf(schemas) : undefined
    this.asked.push({ ...ask, answer: sample === undefined ? recorded._tag : "sample" })
    return sample === undefined ? this.wait : Effect.succeed(sample)
  }

  /** The frontier. Other branches of the function go on. */
  private readonly wait: Effect.Effect<never> = Effect.async((resume) => {
    this.waiting.push(() => resume(Effect.interrupt))
  })

  /** Lets go of everything that waits. What is asked from now on is not noted. */
  close(): void {
    this.closed = true
    for (const release of this.waiting.splice(0)) release()
  }
}
