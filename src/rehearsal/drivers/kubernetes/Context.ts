/**
 * Which cluster kubectl would talk to, and whether that is one where a rehearsal may do as it likes.
 *
 * kubectl and not a client library: it is what Skaffold and Cloud Deploy run, it knows every way to sign in that a kubeconfig
 * can name (gke-gcloud-auth-plugin, kind's certificates), and it brings no dependency.
 */
import { Effect, Schema } from "effect"
import { PreconditionMissing } from "../../Errors.ts"
import { exec } from "../../Exec.ts"

export interface Context {
  readonly name: string
  /** The API server, `https://127.0.0.1:6443`. */
  readonly server: string
}

const Config = Schema.parseJson(
  Schema.Struct({
    "current-context": Schema.optional(Schema.String),
    contexts: Schema.optionalWith(
      Schema.NullOr(
        Schema.Array(Schema.Struct({ name: Schema.String, context: Schema.Struct({ cluster: Schema.String }) }))
      ),
      { default: () => [] }
    ),
    clusters: Schema.optionalWith(
      Schema.NullOr(
        Schema.Array(Schema.Struct({ name: Schema.String, cluster: Schema.Struct({ server: Schema.String }) }))
      ),
      { default: () => [] }
    )
  })
)

/** Only addresses that can't leave this machine: a name such as `kind-prod` proves nothing. */
export const looksLocal = ({ server }: Context): boolean => {
  const host = URL.canParse(server) ? new URL(server).hostname : ""
  return host === "localhost" || host === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(host)
}

/** The named context, else kubectl's current one. */
export const find = (wanted?: string): Effect.Effect<Context, PreconditionMissing> =>
  Effect.gen(function* () {
    const text = yield* exec("kubectl", ["config", "view", "-o", "json"]).pipe(
      Effect.mapError(
        () =>
          new PreconditionMissing({
            message:
              "kubectl was not found on PATH, or can't read its configuration. The kubernetes driver hands pods to a cluster through kubectl: install it and point KUBECONFIG at a cluster (`kind create cluster` makes one)."
          })
      )
    )
    const config = yield* Schema.decodeUnknown(Config)(text).pipe(
      Effect.mapError(
        (error) =>
          new PreconditionMissing({ message: `"kubectl config view" printed something else: ${error.message}` })
      )
    )
    const name = wanted ?? config["current-context"]
    const names = (config.contexts ?? []).map((context) => context.name)
    const context = config.contexts?.find((candidate) => candidate.name === name)
    const cluster = config.clusters?.find((candidate) => candidate.name === context?.context.cluster)
    if (name === undefined || name === "" || context === undefined || cluster === undefined) {
      return yield* new PreconditionMissing({
        message:
          name === undefined || name === ""
            ? "kubectl has no current context. Point KUBECONFIG at a cluster, or choose one: kubectl config use-context NAME."
            : `kubectl has no context "${name}" with a cluster. It has: ${names.join(", ") || "none"}.`
      })
    }
    return { name, server: cluster.cluster.server }
  })

/** Refuses a context that is not plainly of this machine, unless it was named on purpose. */
export const requireLocal = (
  context: Context,
  allowed: string | undefined
): Effect.Effect<void, PreconditionMissing> =>
  looksLocal(context) || allowed === context.name
    ? Effect.void
    : new PreconditionMissing({
        message: `kubectl's context "${context.name}" points at ${context.server}, which is not this machine. Pods would be started, killed and nodes drained there. If that cluster is yours to break, say so by its name: CLUSTER_CONTEXT_IS_MINE=${context.name}.`
      })
