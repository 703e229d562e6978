/** Who is at work: written into each event and run, so that what happened can be traced to a release and a pod. */
import { Context } from "effect"

export class CurrentProcess extends Context.Reference<CurrentProcess>()("domain/CurrentProcess", {
  defaultValue: (): { readonly release: string; readonly name: string } => ({ release: "source", name: "local" })
}) {}
