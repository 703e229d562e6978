/**
 * The names of tenants, sessions and runs.
 *
 * They become part of entity ids, shard keys, primary keys, URLs and log lines, so they are kept to characters that need no
 * quoting anywhere, and short enough that tenant + session fits the 255 characters of the cluster's `entity_id` column.
 */
import { Schema } from "effect"

const MAX_LENGTH = 100

const id = <Name extends string>(name: Name) =>
  Schema.String.pipe(
    Schema.pattern(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, {
      message: () => `${name}: letters, digits, '.', '_' and '-' only, starting with a letter or a digit`
    }),
    Schema.maxLength(MAX_LENGTH, { message: () => `${name}: at most ${MAX_LENGTH} characters` }),
    Schema.brand(name)
  )

export const TenantId = id("TenantId")
export type TenantId = typeof TenantId.Type

export const SessionId = id("SessionId")
export type SessionId = typeof SessionId.Type

/** Chosen by the client: a start that is sent again with the same run id is the same run. */
export const RunId = id("RunId")
export type RunId = typeof RunId.Type

/** Position of an event in its session: grows with every event, with possible gaps. */
export const EventId = Schema.NonNegativeInt.pipe(Schema.brand("EventId"))
export type EventId = typeof EventId.Type

/** Where everything lies that is in no other group. */
export const DEFAULT_GROUP = "default"

/** The tier whose tenants have a shard group of their own, and its name. */
export const ENTERPRISE = "enterprise"

/**
 * The entity that owns a session, `tenant/session` or `group:tenant/session`. Neither `/` nor `:` can be in a part, so two
 * sessions never share one. A session is found in one group; when its tenant's tier changes, calls may for some seconds be
 * carried out in both, as during a takeover: what is accepted and in which order, the rows decide.
 */
export const agentEntityId = (tenantId: TenantId, sessionId: SessionId, group = DEFAULT_GROUP): string =>
  group === DEFAULT_GROUP ? `${tenantId}/${sessionId}` : `${group}:${tenantId}/${sessionId}`

/** The shard group in which that entity lies. */
export const shardGroupOf = (entityId: string): string => {
  const colon = entityId.indexOf(":")
  return colon < 0 ? DEFAULT_GROUP : entityId.slice(0, colon)
}

/** The reverse of `agentEntityId`. */
export const fromAgentEntityId = (entityId: string): { readonly tenantId: TenantId; readonly sessionId: SessionId } => {
  const start = entityId.indexOf(":") + 1
  const slash = entityId.indexOf("/")
  return {
    tenantId: Schema.decodeSync(TenantId)(entityId.slice(start, slash)),
    sessionId: Schema.decodeSync(SessionId)(entityId.slice(slash + 1))
  }
}
