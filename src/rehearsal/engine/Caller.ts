/** Who asks for a change of a rollout, and which policies they said to override. */
import type { Invoker } from "./Policies.ts"

export interface Caller {
  readonly invoker: Invoker
  readonly overridden: ReadonlyArray<string>
  /** A person's name, where it is known. */
  readonly principal?: string | undefined
}

export const user = (overridden: ReadonlyArray<string> = [], principal?: string): Caller => ({
  invoker: "USER",
  overridden,
  principal
})
export const automation: Caller = { invoker: "DEPLOY_AUTOMATION", overridden: [] }
