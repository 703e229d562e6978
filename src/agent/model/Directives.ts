/**
 * What a message may ask of the local model, word by word. Everything that tests, smoke and drills need of a model is here:
 *
 * | word                 | effect                                                                          |
 * |----------------------|---------------------------------------------------------------------------------|
 * | `approve`            | the run waits for a person before it completes                                  |
 * | `tool:NAME`          | calls the tool, with an empty input; may be given several times                  |
 * | `tool:NAME=INPUT`    | the same with an input                                                          |
 * | `tokens:N`           | the answer has N tokens (default 24, at most 5000)                               |
 * | `slow:MS`            | each token takes MS milliseconds (at most 10000)                                 |
 * | `fail`               | the model refuses, for good: the run fails                                      |
 * | `flaky:N`            | the first N attempts break off in the middle of the answer (a retried failure)   |
 * | `follow-up:S`        | asks itself again S seconds after the answer (at most a day), once                |
 * | `fail-later`         | the model refuses the follow-up, for good: the run fails after its tools         |
 *
 * All other words are the message. The same message gives the same answer, token for token.
 */
export interface Directives {
  readonly approve: boolean
  readonly tools: ReadonlyArray<{ readonly tool: string; readonly input: string }>
  readonly tokens: number
  readonly slowMillis: number
  readonly fail: boolean
  readonly failLater: boolean
  readonly flaky: number
  readonly followUpSeconds: number | undefined
}

const DEFAULT_TOKENS = 24
const MAX_TOKENS = 5_000
const MAX_SLOW_MILLIS = 10_000
const MAX_FOLLOW_UP_SECONDS = 86_400

const numberAfter = (words: ReadonlyArray<string>, prefix: string, fallback: number, max: number): number => {
  const word = words.find((candidate) => new RegExp(`^${prefix}:\\d{1,9}$`).test(candidate))
  return word === undefined ? fallback : Math.min(Number(word.slice(prefix.length + 1)), max)
}

export const parse = (message: string): Directives => {
  const words = message.split(/\s+/).filter((word) => word !== "")
  return {
    approve: words.includes("approve"),
    tools: words
      .filter((word) => /^tool:[^=]/.test(word))
      .map((word) => {
        const [tool = "", ...input] = word.slice("tool:".length).split("=")
        return { tool, input: input.join("=") }
      }),
    tokens: numberAfter(words, "tokens", DEFAULT_TOKENS, MAX_TOKENS),
    slowMillis: numberAfter(words, "slow", 0, MAX_SLOW_MILLIS),
    fail: words.includes("fail"),
    failLater: words.includes("fail-later"),
    flaky: numberAfter(words, "flaky", 0, 10),
    followUpSeconds: words.some((word) => /^follow-up:\d{1,9}$/.test(word))
      ? numberAfter(words, "follow-up", 0, MAX_FOLLOW_UP_SECONDS)
      : undefined
  }
}
