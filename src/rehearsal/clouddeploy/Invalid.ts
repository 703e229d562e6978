/** The delivery files contradict themselves or Cloud Deploy's schema. Nothing was done. */
import { Data } from "effect"
import { type Problem, showProblem } from "./YamlFile.ts"

export class DeliveryConfigInvalid extends Data.TaggedError("DeliveryConfigInvalid")<{
  readonly problems: ReadonlyArray<Problem>
  readonly message: string
}> {
  static of(problems: ReadonlyArray<Problem>): DeliveryConfigInvalid {
    return new DeliveryConfigInvalid({
      problems,
      message: [
        `The delivery files hold ${problems.length === 1 ? "a mistake" : `${problems.length} mistakes`}. Nothing was done.`,
        ...problems.map((problem) => `  ${showProblem(problem)}`)
      ].join("\n")
    })
  }
}
