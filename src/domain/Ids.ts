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

/** The entity that owns a session. `/` can be in neither part, so two sessions never share one. */
export const agentEntityId = (tenantId: TenantId, sessionId: SessionId): string => `${tenantId}/${sessionId}`

/** The reverse of `agentEntityId`. */
export const fromAgentEntityId = (entityId: string): { readonly tenantId: TenantId; readonly sessionId: SessionId } => {
  const slash = entityId.indexOf("/")
  return {
    tenantId: Schema.decodeSync(TenantId)(entityId.slice(0, slash)),
    sessionId: Schema.decodeSync(SessionId)(entityId.slice(slash + 1))
  }
}
