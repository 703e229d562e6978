/**
 * What Kubernetes knows of the runners' pods, so that a runner whose pod is gone is off the ring before its silence tells.
 *
 * The library's own layer finds pods by their IP, while runners are known by DNS names: it would call every one of them dead.
 * It also reads its token once, and the kubelet rotates it. Here pods are found by name and watched, and only what is known for certain
 * counts: a pod never seen is alive, and while the API can't be read every pod is. What to ask then is the runner itself.
 */
import { readFile } from "node:fs/promises"
import { Data, Duration, Effect, Schedule, Schema, Stream } from "effect"
import type { KubernetesAccess } from "./KubernetesAccess.ts"

/** `pods-observe` in `k8s/platform/rights.yaml` gives what this asks for: list and watch. Of all pools: any runner may be the one that checks. */
export const SELECTOR = "app in (effect-agent-runtime,effect-agent-runtime-enterprise)"

const Pod = Schema.Struct({
  metadata: Schema.Struct({ name: Schema.String, resourceVersion: Schema.optional(Schema.String) }),
  status: Schema.optionalWith(
    Schema.Struct({
      phase: Schema.optional(Schema.String),
      reason: Schema.optional(Schema.String),
      containerStatuses: Schema.optional(
        Schema.Array(
          Schema.Struct({ state: Schema.optional(Schema.Struct({ running: Schema.optional(Schema.Unknown) })) })
        )
      )
    }),
    { default: () => ({}) }
  )
})
type Pod = typeof Pod.Type

const PodList = Schema.parseJson(
  Schema.Struct({ metadata: Schema.Struct({ resourceVersion: Schema.String }), items: Schema.Array(Pod) })
)
const Change = Schema.parseJson(
  Schema.Struct({ type: Schema.Literal("ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"), object: Schema.Unknown })
)
const decodePod = Schema.decodeUnknown(Pod)

/**
 * Whether the runner's process is there. Not whether it is ready: one that stops, or lost its database, still holds shards and
 * finishes steps. `Unknown` is a node that does not report, which says nothing of the pod.
 */
export const runs = ({ status: { phase, reason, containerStatuses } }: Pod): boolean => {
  if (reason === "NodeLost" || reason === "Evicted") return false
  if (phase === "Pending" || phase === "Failed" || phase === "Succeeded") return false
  const states =
    containerStatuses?.flatMap(({ state }) => (state === undefined ? [] : [state.running !== undefined])) ?? []
  return states.length === 0 || states.includes(true)
}

class Unreadable extends Data.TaggedError("Unreadable")<{ readonly message: string }> {}

/** Kubernetes ends a watch after this; the list is then read anew, so that nothing missed stays missed. */
const WATCH_SECONDS = 300
const LIST_PATIENCE = "10 seconds"
/** How many pods that are gone are remembered. A StatefulSet uses its names again. */
const REMEMBERED = 1_000

/** Asks again and again, up to twice a minute while the API can't be read. */
const again = (first: Duration.DurationInput) =>
  Schedule.exponential(first).pipe(Schedule.union(Schedule.spaced("30 seconds")), Schedule.jittered)

/** `isAlive` by pod name, for as long as the scope lives. `pause`: before the first repetition of a request that failed. */
export const watch = (access: KubernetesAccess, pause: Duration.DurationInput = "1 second") =>
  Effect.gen(function* () {
    /** By name, whether its process is there. */
    const pods = new Map<string, boolean>()

    const request = (query: string) =>
      Effect.tryPromise({
        try: async (signal) => {
          const token = await readFile(access.tokenFile, "utf8").then(
            (text) => text.trim(),
            () => undefined
          )
          const response = await fetch(
            `${access.url}/api/v1/namespaces/${access.namespace}/pods?labelSelector=${encodeURIComponent(SELECTOR)}${query}`,
            { headers: token === undefined ? {} : { authorization: `Bearer ${token}` }, signal }
          )
          if (response.status !== 200) {
            const body = (await response.text()).slice(0, 200)
            throw new Error(
              `it answered ${response.status}: ${body}${response.status === 403 ? " (k8s/platform/rights.yaml gives agent-runtime list and watch on pods)" : ""}`
            )
          }
          return response
        },
        catch: (cause) => new Unreadable({ message: cause instanceof Error ? cause.message : String(cause) })
      })
    const unreadable = (error: { readonly message: string }) => new Unreadable({ message: error.message })

    const remember = (name: string, running: boolean) => {
      pods.delete(name)
      pods.set(name, running)
      for (const [oldest, alive] of pods) if (pods.size > REMEMBERED && !alive) pods.delete(oldest)
    }

    const list = request("").pipe(
      Effect.flatMap((response) =>
        Effect.tryPromise({ try: () => response.text(), catch: (cause) => unreadable(cause as Error) })
      ),
      Effect.timeoutFail({
        duration: LIST_PATIENCE,
        onTimeout: () => unreadable({ message: "it did not answer in time" })
      }),
      Effect.flatMap((text) => Effect.mapError(Schema.decode(PodList)(text), unreadable)),
      Effect.map(({ items, metadata }) => {
        const listed = new Set(items.map((pod) => pod.metadata.name))
        for (const name of [...pods.keys()]) if (!listed.has(name)) remember(name, false)
        for (const pod of items) remember(pod.metadata.name, runs(pod))
        return metadata.resourceVersion
      })
    )

    const follow = (version: string) =>
      Stream.unwrap(
        Effect.map(request(`&watch=1&resourceVersion=${version}&timeoutSeconds=${WATCH_SECONDS}`), (response) =>
          response.body === null
            ? Stream.empty
            : Stream.fromReadableStream({
                evaluate: () => response.body!,
                onError: (cause) => unreadable(cause as Error)
              })
        )
      ).pipe(
        Stream.decodeText(),
        Stream.splitLines,
        Stream.filter((line) => line !== ""),
        Stream.mapEffect((line) => Effect.mapError(Schema.decode(Change)(line), unreadable)),
        Stream.runForEach(({ type, object }): Effect.Effect<void, Unreadable | "again"> => {
          // `ERROR` is mostly a version that is too old: the list is read anew, at once.
          if (type === "ERROR") return Effect.fail("again" as const)
          if (type === "BOOKMARK") return Effect.void
          return decodePod(object).pipe(
            Effect.mapError(unreadable),
            Effect.map((pod) => remember(pod.metadata.name, type !== "DELETED" && runs(pod)))
          )
        }),
        Effect.catchIf(
          (error) => error === "again",
          () => Effect.void
        ),
        // Kubernetes ends a watch in time; one that does not end was cut without a word.
        Effect.timeoutOption(Duration.seconds(WATCH_SECONDS + 30))
      )

    // A watch that ends is no failure: the next list begins anew, with the short pause.
    const once = Effect.flatMap(list, follow)
    yield* once.pipe(
      Effect.tapError((error) => {
        pods.clear()
        const why = error instanceof Unreadable ? error.message : error
        return Effect.logWarning(`The pods can't be read from ${access.url}, so runners are asked themselves: ${why}`)
      }),
      Effect.retry(again(pause)),
      Effect.repeat(Schedule.spaced(pause)),
      Effect.forkScoped
    )

    return {
      /** By the runner's host: a pod's name, or its DNS name, which begins with it. */
      isAlive: (host: string): boolean => pods.get(host.split(".")[0] ?? host) ?? true
    }
  })
