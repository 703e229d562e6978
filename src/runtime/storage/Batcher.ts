/**
 * Puts what many fibers ask for at once into few round trips, without a timer: the first one leaves at the end of the turn of
 * the event loop in which it came, and what comes while `inFlight` trips are under way leaves together when one is back.
 *
 * A fiber goes on only when its own answer is there. A trip that fails for a reason that lies in the rows is halved until the
 * row that is to blame stands alone: it fails, the others do not. A trip that fails for another reason fails all of its rows;
 * whoever sent them may send them again.
 */
import { Effect, Exit } from "effect"

export interface Options<Row, Answer, E> {
  /** Carries the rows out, all or none, and answers each in its place. */
  readonly trip: (rows: ReadonlyArray<Row>) => Effect.Effect<ReadonlyArray<Exit.Exit<Answer, E>>, E>
  /** Whether a failed trip may be the fault of one of its rows. */
  readonly isRowsFault: (error: E) => boolean
  /** What a row is told when too many wait, or when the batcher is closed. */
  readonly refused: (why: string) => E
  readonly inFlight: number
  readonly maxRows: number
  readonly maxBytes: number
  readonly maxQueued: number
  readonly bytes: (row: Row) => number
  /** Two rows with the same one never share a trip, and keep their order. */
  readonly exclusive: (row: Row) => string | undefined
}

interface Entry<Row, Answer, E> {
  readonly row: Row
  readonly resume: (answer: Exit.Exit<Answer, E>) => void
}

export interface Batcher<Row, Answer, E> {
  readonly submit: (row: Row) => Effect.Effect<Answer, E>
  /** Takes no more, and waits until what was taken has left. */
  readonly close: Effect.Effect<void>
  readonly queued: () => number
}

export const make = <Row, Answer, E>(options: Options<Row, Answer, E>): Batcher<Row, Answer, E> => {
  let queue: Array<Entry<Row, Answer, E>> = []
  const busy = new Set<string>()
  let underway = 0
  let scheduled = false
  let closed = false
  let idle: Array<() => void> = []

  const take = (): Array<Entry<Row, Answer, E>> => {
    const taken: Array<Entry<Row, Answer, E>> = []
    const left: Array<Entry<Row, Answer, E>> = []
    const waiting = new Set<string>()
    let bytes = 0
    for (let index = 0; index < queue.length; index++) {
      const entry = queue[index]!
      const key = options.exclusive(entry.row)
      const full = taken.length >= options.maxRows || bytes >= options.maxBytes
      if (full || (key !== undefined && (busy.has(key) || waiting.has(key)))) {
        if (key !== undefined) waiting.add(key)
        left.push(entry)
        continue
      }
      if (key !== undefined) busy.add(key)
      bytes += options.bytes(entry.row)
      taken.push(entry)
    }
    queue = left
    return taken
  }

  const carryOut = (entries: ReadonlyArray<Entry<Row, Answer, E>>): Effect.Effect<void> =>
    Effect.matchCauseEffect(
      Effect.suspend(() => options.trip(entries.map(({ row }) => row))),
      {
        onSuccess: (answers) =>
          Effect.sync(() => {
            for (let index = 0; index < entries.length; index++) entries[index]!.resume(answers[index]!)
          }),
        onFailure: (cause) => {
          const fault = cause._tag === "Fail" && options.isRowsFault(cause.error)
          if (fault && entries.length > 1) {
            const middle = entries.length >> 1
            return Effect.zipRight(carryOut(entries.slice(0, middle)), carryOut(entries.slice(middle)))
          }
          return Effect.sync(() => {
            for (const { resume } of entries) resume(Exit.failCause(cause))
          })
        }
      }
    )

  const leave = () => {
    while (underway < options.inFlight && queue.length > 0) {
      const entries = take()
      if (entries.length === 0) return
      underway++
      Effect.runCallback(carryOut(entries), {
        onExit: () => {
          underway--
          for (const { row } of entries) {
            const key = options.exclusive(row)
            if (key !== undefined) busy.delete(key)
          }
          leave()
          if (underway === 0 && queue.length === 0) {
            for (const done of idle) done()
            idle = []
          }
        }
      })
    }
  }

  return {
    submit: (row) =>
      Effect.async<Answer, E>((resume) => {
        if (closed) return resume(Effect.fail(options.refused("it is closed")))
        if (queue.length >= options.maxQueued) {
          return resume(Effect.fail(options.refused(`${queue.length} rows wait already`)))
        }
        const entry = { row, resume: (answer: Exit.Exit<Answer, E>) => resume(answer) }
        queue.push(entry)
        if (!scheduled && underway < options.inFlight) {
          scheduled = true
          setImmediate(() => {
            scheduled = false
            leave()
          })
        }
        // One that leaves before its trip began was never sent. Afterwards it may be there or not, as with any statement.
        return Effect.sync(() => {
          const index = queue.indexOf(entry)
          if (index >= 0) queue.splice(index, 1)
        })
      }),
    close: Effect.async<void>((resume) => {
      closed = true
      if (underway === 0 && queue.length === 0) return resume(Effect.void)
      idle.push(() => resume(Effect.void))
      leave()
    }),
    queued: () => queue.length
  }
}
