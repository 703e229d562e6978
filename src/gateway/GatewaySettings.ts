/** What a gateway is told by its environment. */
import { Duration, type Either } from "effect"
import { type Env, Reader, type RunnerSettings, readCluster, type SettingsRefused } from "../runtime/Settings.ts"
import type { AdmissionLimits } from "./Admission.ts"
import type { GatewayOptions } from "./Gateway.ts"

export interface GatewaySettings
  extends Pick<
    RunnerSettings,
    "name" | "shardsPerGroup" | "shardGroups" | "messageStorage" | "poolMax" | "logLevel" | "database"
  > {
  readonly serve: GatewayOptions
}

/** A call may wait out a takeover: AgentClient's patience and a little more. With preStop and window inside the pod's 60 s. */
const DRAIN_LIMIT = Duration.seconds(25)
/** Clients with kept-alive connections send something more often than that, or nothing for a long time. */
const IDLE_LIMIT_MS = 12_000

/**
 * What all tenants may do; `agents.tenant_limits` has the exceptions. A burst is two seconds of a rate.
 *
 * Rates are for this process. They keep a flood off, and leave well alone what people and the load of a rehearsal do (some
 * ten requests a second). A tenant has 1,000 runs open at most, and all together 2,000 under way: at some 50 a second,
 * which one small database carries, the last of them waits 40 s.
 */
const readAdmission = (reader: Reader): AdmissionLimits => {
  const rate = (name: string, fallback: number) => {
    const perSecond = reader.integer(name, [1, 1_000_000], fallback)
    return { perSecond, burst: 2 * perSecond }
  }
  const tokensPerDay = reader.integer("TOKENS_PER_DAY", [0, 1_000_000_000_000], 0)
  return {
    address: rate("ADDRESS_REQUESTS_PER_SECOND", 500),
    user: rate("USER_REQUESTS_PER_SECOND", 100),
    tenant: rate("TENANT_REQUESTS_PER_SECOND", 200),
    openRuns: reader.integer("TENANT_OPEN_RUNS", [1, 1_000_000], 1_000),
    queueDepth: reader.integer("QUEUE_DEPTH", [1, 1_000_000], 2_000),
    // 0 is no budget: a tenant with one has it in its row.
    tokensPerDay: tokensPerDay === 0 ? undefined : tokensPerDay
  }
}

/** Other schemes (`file:`, `data:`) would let a setting name its own keys. */
export const webUrl = (reader: Reader, name: string, otherwise?: string): URL => {
  const fallback = new URL("http://unset.invalid/")
  const value = reader.text(name, otherwise)
  if (value === "") return fallback
  const url = URL.parse(value)
  if (url !== null && (url.protocol === "https:" || url.protocol === "http:")) return url
  reader.problems.push(`${name} is "${value}"; it must be an http(s) URL`)
  return fallback
}

/** A path or a `*` would never match what browsers send: said at the start, rather than found in a browser's console. */
export const readOrigins = (reader: Reader): ReadonlyArray<string> => {
  const origins = reader.list("CORS_ORIGINS", "")
  for (const origin of origins) {
    if (URL.parse(origin)?.origin !== origin) {
      reader.problems.push(`CORS_ORIGINS has "${origin}"; an origin is written https://app.example.com, without a path`)
    }
  }
  return origins
}

/** `smoke@p.iam.gserviceaccount.com=service,…`: which tenant a service account calls for. */
const readServiceTenants = (reader: Reader): ReadonlyMap<string, string> =>
  new Map(
    reader.list("SERVICE_TENANTS", "").flatMap((pair) => {
      const [, email, tenant] = /^([^\s=@]+@[^\s=@]+)=([a-z0-9][a-z0-9-]{0,62})$/.exec(pair) ?? []
      if (email !== undefined && tenant !== undefined) return [[email, tenant] as const]
      reader.problems.push(`SERVICE_TENANTS has "${pair}"; it is written EMAIL=TENANT, separated by commas`)
      return []
    })
  )

export const readGateway = (env: Env): Either.Either<GatewaySettings, SettingsRefused> => {
  const reader = new Reader(env)
  const identity = {
    issuer: reader.text("IDENTITY_ISSUER"),
    audience: reader.text("IDENTITY_AUDIENCE"),
    jwksUrl: webUrl(reader, "IDENTITY_JWKS_URL"),
    serviceTenants: readServiceTenants(reader)
  }
  return reader.result({
    name: reader.text("POD_NAME", "gateway"),
    serve: {
      host: reader.text("LISTEN_HOST", "0.0.0.0"),
      port: reader.integer("HTTP_PORT", [1, 65_535], 8080),
      drainWindow: Duration.millis(reader.integer("DRAIN_WINDOW_MS", [0, 20_000], 1_000)),
      drainLimit: DRAIN_LIMIT,
      idleLimit: Duration.millis(reader.integer("DRAIN_IDLE_MS", [0, 30_000], IDLE_LIMIT_MS)),
      defaultModel: reader.text("DEFAULT_MODEL", "local"),
      admission: readAdmission(reader),
      proxyHops: reader.integer("PROXY_HOPS", [0, 10], 0),
      origins: readOrigins(reader),
      identity,
      edge: {
        callers: reader.list("EDGE_CALLERS", ""),
        // Users have the same issuer unless another is named. Not the same audience: their tokens are for the edge.
        users: {
          issuer: reader.text("USER_ISSUER", identity.issuer),
          audience: reader.text("USER_AUDIENCE", identity.audience),
          jwksUrl: webUrl(reader, "USER_JWKS_URL", identity.jwksUrl.href)
        }
      }
    },
    ...readCluster(reader)
  })
}
