/** Services for handlers that must not call them while they are replayed. */
import { type Context, Layer } from "effect"

const touched = new Set<string>()

/** What was touched since the last call. Replays run one at a time. */
export const takeTouched = (): ReadonlyArray<string> => {
  const taken = [...touched]
  touched.clear()
  return taken
}

/**
 * A service whose every use is noted and dies. Looking it up is no use: code may do that wherever it likes.
 */
export const layer = <I, S extends object>(tag: Context.Tag<I, S>): Layer.Layer<I> =>
  Layer.succeed(
    tag,
    new Proxy({} as S, {
      get: (_, property) => {
        if (typeof property === "symbol" || property === "then") return undefined
        const what = `${tag.key.split("/").at(-1)}.${property}`
        touched.add(what)
        throw new Error(`${what} was used outside of an activity`)
      }
    })
  )
