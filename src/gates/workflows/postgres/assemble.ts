/** Lines of the database put together to executions. JSON is read here and not by Postgres: a cast of one damaged row would fail all. */
import { Snowflake } from "@effect/cluster"
import { holdsUnstorable } from "../../../domain/Text.ts"
import { column, type Line } from "../../CopyOut.ts"
import { type Execution, type KeptResult, type Lived, type OpenCall, type Stored, stored } from "../OpenWork.ts"
import { TOO_LONG, VALUE_BYTES } from "./statements.ts"

const readOr = (text: string | null): Stored =>
  text?.startsWith(TOO_LONG) === true
    ? {
        _tag: "damaged",
        why: `it is ${text.slice(TOO_LONG.length)} bytes long; a gate reads no value above ${VALUE_BYTES}`
      }
    : stored(text ?? "")

/** JSON writes what no start can hold so, and in no other way in a database of UTF-8. */
const ESCAPED = /\\u(0000|d[89a-f])/i

/**
 * What a client or another process sent. A start with U+0000 or half a surrogate pair is refused at the door (`AgentRpcs`), and
 * `jsonb` holds neither: a row with one came another way, and no schema would tell. What models and tools print may hold them.
 */
const sentOr = (text: string | null): Stored => {
  const read = readOr(text)
  if (read._tag === "damaged" || text === null || !text.includes("\\u") || !ESCAPED.test(text)) return read
  return holdsUnstorable(read.value)
    ? { _tag: "damaged", why: "it holds U+0000 or half of a surrogate pair, which no start can have had" }
    : read
}

/** Messages of activities say little else than `{"name":"Plan","attempt":1}`, all over again. What is read is never changed. */
const KEPT = 2_000
const kept = new Map<string, Stored>()
const partOf = (text: string | null): Stored => {
  if (text === null || text.length > 200) return sentOr(text)
  const known = kept.get(text)
  if (known !== undefined) return known
  if (kept.size >= KEPT) kept.clear()
  const read = sentOr(text)
  kept.set(text, read)
  return read
}

const field = (value: unknown, ...path: ReadonlyArray<string>): unknown =>
  path.reduce<unknown>(
    (current, key) =>
      typeof current === "object" && current !== null ? (current as Record<string, unknown>)[key] : undefined,
    value
  )

const textOf = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined)

/** What a permanent failure of the engine says, in one line. */
const deathOf = (exit: unknown): string => {
  const defect = field(exit, "cause", "defect")
  const message = textOf(field(defect, "message")) ?? textOf(defect) ?? JSON.stringify(field(exit, "cause") ?? exit)
  return message.split("\n")[0]!.slice(0, 300)
}

const timeOf = (id: string): number => Snowflake.timestamp(Snowflake.Snowflake(id))

type Writable = {
  -readonly [K in keyof Execution]: Execution[K] extends ReadonlyArray<infer Each> ? Array<Each> : Execution[K]
}

/** A start that has ended after all is none. */
const begin = ([, payload, reply, id, workflow, executionId, shardId, replyId]: ReadonlyArray<string>):
  | Writable
  | undefined => {
  const text = column(reply!)
  const last = text === null ? undefined : readOr(text)
  const exit = last?._tag === "value" ? last.value : undefined
  const failed = field(exit, "_tag") === "Failure"
  if (field(exit, "_tag") === "Success" && field(exit, "value", "_tag") === "Complete") return undefined
  const answered = column(replyId!)
  return {
    workflow: column(workflow!) ?? "",
    executionId: column(executionId!) ?? "",
    shardId: column(shardId!) ?? "",
    state: exit === undefined ? "running" : failed ? "dead" : "suspended",
    diedOf: failed ? deathOf(exit) : undefined,
    startedAt: timeOf(id!),
    answeredAt: answered === null ? undefined : timeOf(answered),
    payload: sentOr(column(payload!)),
    activities: [],
    deferreds: [],
    clocks: [],
    damaged: last?._tag === "damaged" ? [`the result of its last run: ${last.why}`] : []
  }
}

const addTo = (execution: Writable, [kind, payload, reply, attempt, release]: ReadonlyArray<string>): void => {
  const text = column(payload!)
  if (kind === "step") {
    const exit = readOr(column(reply!))
    execution.activities.push({
      name: text ?? "",
      attempt: Number(attempt),
      reply:
        exit._tag === "damaged"
          ? exit
          : { _tag: "value", value: { _tag: "Success", value: { _tag: "Complete", exit: exit.value } } },
      release: column(release!) ?? undefined
    })
    return
  }
  const part = partOf(text)
  const name = part._tag === "value" ? textOf(field(part.value, "name")) : undefined
  if (part._tag === "damaged" || name === undefined) {
    execution.damaged.push(`a part (${kind}): ${part._tag === "damaged" ? part.why : "it has no name"}`)
    return
  }
  if (kind === "activity") {
    const given = field(part.value, "attempt")
    const answer = column(reply!)
    execution.activities.push({
      name,
      attempt: typeof given === "number" ? given : 1,
      reply: answer === null ? undefined : readOr(answer),
      release: undefined
    })
  } else if (kind === "deferred") execution.deferreds.push({ name, exit: field(part.value, "exit") })
  else execution.clocks.push({ name })
}

/** Puts lines together, also across what came at once: an execution is whole when the next one begins. */
export class Executions {
  private current: Writable | undefined

  /** Those that are whole. */
  add(lines: Iterable<Line>): Array<Execution> {
    const whole: Array<Execution> = []
    for (const line of lines) {
      const columns = line.split("\t")
      if (columns[0] === "run") {
        if (this.current !== undefined) whole.push(this.current)
        this.current = begin(columns)
      } else if (this.current !== undefined) addTo(this.current, columns)
    }
    return whole
  }

  end(): Array<Execution> {
    return this.current === undefined ? [] : [this.current]
  }
}

export const callOf = (line: Line): OpenCall => {
  const [entityType, entityId, tag, shardId, payload] = line.split("\t").map(column)
  return {
    entityType: entityType ?? "",
    entityId: entityId ?? "",
    tag: tag ?? "",
    shardId: shardId ?? "",
    payload: sentOr(payload ?? null)
  }
}

export const resultOf = (line: Line): KeptResult => {
  const [workflow, executionId, reply] = line.split("\t").map(column)
  const read = readOr(reply ?? null)
  return {
    workflow: workflow ?? "",
    executionId: executionId ?? "",
    exit: read._tag === "value" ? { _tag: "value", value: field(read.value, "value", "exit") } : read
  }
}

export const livedOf = (line: Line): Lived | undefined => {
  const [ended, half, most, longest] = line.split("\t").map(Number)
  return ended === undefined || !(ended > 0)
    ? undefined
    : { ended, half: half ?? 0, most: most ?? 0, longest: longest ?? 0 }
}
