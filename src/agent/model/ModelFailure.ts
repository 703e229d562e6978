/** What went wrong with a model, as far as it decides what is done next. */
import type { AiError } from "@effect/ai/AiError"
import { Data, Duration } from "effect"

export class ModelFailure extends Data.TaggedError("ModelFailure")<{
  readonly model: string
  readonly message: string
  /** `again`: the same may go well later or elsewhere. `key`: the key was refused. `never`: whoever is asked the same refuses. */
  readonly kind: "again" | "key" | "never"
  /** When the provider wants to be asked again. */
  readonly retryAfter?: Duration.Duration
}> {}

/** `Retry-After` in seconds or as a date, and OpenAI's own in milliseconds. */
export const retryAfter = (
  headers: Readonly<Record<string, string | undefined>>,
  now: number
): Duration.Duration | undefined => {
  const millis = Number(headers["retry-after-ms"])
  if (Number.isFinite(millis) && millis >= 0) return Duration.millis(millis)
  const value = headers["retry-after"]
  if (value === undefined) return undefined
  if (/^\d+(\.\d+)?$/.test(value)) return Duration.seconds(Number(value))
  const date = Date.parse(value)
  return Number.isNaN(date) ? undefined : Duration.millis(Math.max(0, date - now))
}

/** The provider's words are left out: they may quote the prompt, and events are read by clients. */
export const fromAiError =
  (model: string, now: () => number) =>
  (error: AiError): ModelFailure => {
    if (error._tag !== "HttpResponseError") {
      return new ModelFailure({ model, kind: "again", message: `The model ${model} could not be reached.` })
    }
    const { headers, status } = error.response
    const wait = retryAfter(headers as Readonly<Record<string, string>>, now())
    if (status === 401)
      return new ModelFailure({ model, kind: "key", message: "The model's provider refuses the key." })
    if (status === 408 || status === 409 || status === 429 || status >= 500 || status < 400) {
      return new ModelFailure({
        model,
        kind: "again",
        message: `The model ${model} answered ${status}.`,
        ...(wait === undefined ? {} : { retryAfter: wait })
      })
    }
    return new ModelFailure({ model, kind: "never", message: `The model ${model} refused the request with ${status}.` })
  }
