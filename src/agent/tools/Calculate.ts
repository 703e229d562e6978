/** Arithmetic, which models are bad at. A grammar of its own: nothing of the input is ever run as code. */
import { Effect } from "effect"
import type { Tool } from "./Tool.ts"

const MAX_LENGTH = 256
const MAX_DEPTH = 32

class Unreadable extends Error {}

/** `expression := term (± term)*`, `term := factor (*|/|% factor)*`, `factor := -factor | (expression) | number`. */
const evaluate = (text: string): number => {
  let at = 0
  const skip = () => {
    while (text[at] === " ") at += 1
  }
  const take = (symbols: string): string | undefined => {
    skip()
    const symbol = text[at]
    if (symbol === undefined || !symbols.includes(symbol)) return undefined
    at += 1
    return symbol
  }
  const factor = (depth: number): number => {
    if (depth > MAX_DEPTH) throw new Unreadable("it is nested too deeply")
    if (take("-") !== undefined) return -factor(depth + 1)
    if (take("(") !== undefined) {
      const inner = expression(depth + 1)
      if (take(")") === undefined) throw new Unreadable("a parenthesis is not closed")
      return inner
    }
    skip()
    const digits = /^\d{1,15}(\.\d{1,15})?/.exec(text.slice(at))?.[0]
    if (digits === undefined) throw new Unreadable(`a number is expected at character ${at + 1}`)
    at += digits.length
    return Number(digits)
  }
  const chain = (next: (depth: number) => number, symbols: string, depth: number): number => {
    let value = next(depth)
    for (let symbol = take(symbols); symbol !== undefined; symbol = take(symbols)) {
      const right = next(depth)
      if (symbol === "+") value += right
      else if (symbol === "-") value -= right
      else if (symbol === "*") value *= right
      else value = symbol === "/" ? value / right : value % right
    }
    return value
  }
  const term = (depth: number): number => chain(factor, "*/%", depth)
  const expression = (depth: number): number => chain(term, "+-", depth)

  const value = expression(0)
  skip()
  if (at < text.length) throw new Unreadable(`character ${at + 1} does not belong there`)
  if (!Number.isFinite(value)) throw new Unreadable("it has no finite result")
  return value
}

export const calculate: Tool<never> = {
  name: "calculate",
  description: "Calculates with decimal numbers: + - * / % and parentheses.",
  input: "The expression alone, for example (17.5 + 3) * 4",
  run: (input) =>
    input.length > MAX_LENGTH
      ? Effect.fail(`An expression has at most ${MAX_LENGTH} characters.`)
      : Effect.try({
          // Without the noise of binary fractions: 0.1 + 0.2 is 0.3.
          try: () => String(Number(evaluate(input).toPrecision(15))),
          catch: (error) =>
            `Not an arithmetic expression: ${error instanceof Unreadable ? error.message : "it can't be read"}.`
        })
}
