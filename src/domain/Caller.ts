/** Who a request is from, as its verified token says. */
import { Context, type Redacted } from "effect"
import type { TenantId } from "./Ids.ts"

export interface Caller {
  readonly tenantId: TenantId
  readonly subject: string
  /** What the caller showed: an edge passes it on. */
  readonly token?: Redacted.Redacted
}

/** The verified caller of the request in hand. */
export class CurrentCaller extends Context.Tag("domain/CurrentCaller")<CurrentCaller, Caller>() {}
