/**
 * What a tenant's runs may do with tools. A model decides what is called, and what a model reads may be written by anybody:
 * nothing that it says widens this.
 */
import { Context, Schema } from "effect"

/** What one tenant may do. */
export const Allowance = Schema.Struct({
  tools: Schema.Array(Schema.String),
  /** Hosts, with their port if it is not the scheme's own, that `http_get` may reach. No patterns: each is meant. */
  hosts: Schema.optionalWith(Schema.Array(Schema.String), { default: () => [] })
})
export type Allowance = typeof Allowance.Type

export const Policies = Schema.Struct({
  /** For tenants that are not named. */
  default: Allowance,
  tenants: Schema.optionalWith(Schema.Record({ key: Schema.String, value: Allowance }), { default: () => ({}) })
})
export type Policies = typeof Policies.Type

/** Without a policy of its own an installation has the tools that reach nothing outside. */
export class ToolPolicies extends Context.Reference<ToolPolicies>()("agent/ToolPolicies", {
  defaultValue: (): Policies => ({
    default: { tools: ["echo", "add", "wait", "broken", "hold", "calculate", "remember", "recall"], hosts: [] },
    tenants: {}
  })
}) {}

/** Names from the prototype (`constructor`) are no tenants. */
export const allowanceOf = (policies: Policies, tenant: string | undefined): Allowance =>
  (tenant !== undefined && Object.hasOwn(policies.tenants, tenant) ? policies.tenants[tenant] : undefined) ??
  policies.default

/** What holds for every call of every tenant. */
export const limits = {
  maxInputLength: 1_024,
  maxOutputLength: 4_096,
  timeoutMillis: 10_000
} as const
