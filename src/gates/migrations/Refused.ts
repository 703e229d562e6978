/** What ended a migrator's work for a reason that a person must read. */
import { Data } from "effect"
import type { Finding } from "../Evidence.ts"

export class Refused extends Data.TaggedError("Refused")<{ readonly findings: ReadonlyArray<Finding> }> {}
