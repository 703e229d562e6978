/**
 * Lines of the database, kept in a file until they are wanted: a query is through as soon as Postgres can send its rows, however
 * long somebody then thinks about each.
 *
 * An open snapshot is not free: while it is there, nothing that was updated or deleted since can be cleared away. A gate that read for
 * two minutes beside runners made them three times as slow by its end, since each look for messages passed over all that had been
 * answered meanwhile (`docs/gates-performance.md`). The file has no name: it is gone with the process, however that ends.
 */
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Chunk, Effect, Option, type Scope, Stream } from "effect"
import type { Line } from "./CopyOut.ts"

const BLOCK = 256 * 1024
const LINE_END = 10

export interface Spool<E> {
  /** Takes all lines; whoever reads meanwhile reads what is there, and waits for more. */
  readonly fill: <R>(lines: Stream.Stream<Line, E, R>) => Effect.Effect<void, E, R>
  /** How many lines there are so far. */
  readonly count: () => number
  /** From the first line to the last. Fails as `fill` did. To be read once. */
  readonly lines: Stream.Stream<Line, E>
}

/** `failed` tells why there can be no file. */
export const make = <E>(failed: (cause: unknown) => E): Effect.Effect<Spool<E>, E, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.try({
      try: () => {
        const folder = mkdtempSync(join(tmpdir(), "deliver-"))
        try {
          return openSync(join(folder, "lines"), "w+", 0o600)
        } finally {
          rmSync(folder, { recursive: true, force: true })
        }
      },
      catch: failed
    }),
    (file) => Effect.sync(() => closeSync(file))
  ).pipe(
    Effect.map((file): Spool<E> => {
      let count = 0
      let written = 0
      let read = 0
      let end: Effect.Effect<void, E> | undefined
      let awake: (() => void) | undefined
      let rest: Buffer = Buffer.alloc(0)
      const wake = () => {
        const go = awake
        awake = undefined
        go?.()
      }
      const write = (lines: Chunk.Chunk<Line>) => {
        const bytes = Buffer.from(`${Chunk.toReadonlyArray(lines).join("\n")}\n`)
        for (let from = 0; from < bytes.length; ) {
          from += writeSync(file, bytes, from, bytes.length - from, written + from)
        }
        written += bytes.length
        count += lines.length
        wake()
      }
      /** Behind what the database has sent meanwhile: a thread that only reads would keep it waiting. */
      const more = Effect.async<void>((resume) => {
        if (read < written || end !== undefined) return void setImmediate(() => resume(Effect.void))
        awake = () => resume(Effect.void)
      })
      const block = (): Array<Line> => {
        const bytes = Buffer.allocUnsafe(Math.min(BLOCK, written - read))
        const got = readSync(file, bytes, 0, bytes.length, read)
        read += got
        const all = Buffer.concat([rest, bytes.subarray(0, got)])
        const last = all.lastIndexOf(LINE_END)
        rest = all.subarray(last + 1)
        return last === -1 ? [] : all.toString("utf8", 0, last).split("\n")
      }
      const take: Effect.Effect<Chunk.Chunk<Line>, Option.Option<E>> = Effect.suspend(() =>
        read < written
          ? Effect.try({ try: () => Chunk.unsafeFromArray(block()), catch: (cause) => Option.some(failed(cause)) })
          : end === undefined
            ? Effect.succeed(Chunk.empty())
            : Effect.zipRight(Effect.mapError(end, Option.some), Effect.fail(Option.none()))
      )
      return {
        count: () => count,
        fill: (lines) =>
          Stream.runForEachChunk(lines, (chunk) => Effect.try({ try: () => write(chunk), catch: failed })).pipe(
            Effect.onExit((exit) =>
              Effect.sync(() => {
                end = exit
                wake()
              })
            )
          ),
        lines: Stream.repeatEffectChunkOption(Effect.zipRight(more, take))
      }
    })
  )
