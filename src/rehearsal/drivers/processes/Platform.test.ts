/** What a pod finds around it: files, variables, tokens, the API and the metadata server. */
import { statSync } from "node:fs"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { container, eventually, secret, service, statefulSet, testDriver } from "../../../../test/support/processes.ts"
import type { Cluster, KubeObject } from "../Driver.ts"

const DEADLINE = { deadlineMs: 20_000 }

const ask = (cluster: Cluster, path: string) =>
  Effect.gen(function* () {
    const [pod] = yield* cluster.pods
    return yield* Effect.tryPromise(async () => {
      const response = await fetch(`http://${pod?.address}:8080${path}`, { headers: { connection: "close" } })
      return { status: response.status, text: await response.text() }
    })
  })

const environmentOf = (cluster: Cluster) =>
  Effect.map(ask(cluster, "/env"), ({ text }) => JSON.parse(text) as Readonly<Record<string, string>>)

/** Lets the pod send a request of its own. */
const through = (cluster: Cluster, url: string, headers: object, method = "GET") =>
  ask(
    cluster,
    `/fetch?method=${method}&url=${encodeURIComponent(url)}&headers=${encodeURIComponent(JSON.stringify(headers))}`
  )

const account: KubeObject = { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "agent-smoke" } }
const rbac = (verbs: ReadonlyArray<string>): ReadonlyArray<KubeObject> => [
  {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "Role",
    metadata: { name: "pods" },
    rules: [{ apiGroups: [""], resources: ["pods"], verbs }]
  },
  {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "RoleBinding",
    metadata: { name: "pods" },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "pods" },
    subjects: [{ kind: "ServiceAccount", name: "agent-smoke" }]
  }
]

it.scopedLive("mounts a Secret, and writes it anew into running pods when it changes", () =>
  Effect.gen(function* () {
    const { driver } = yield* testDriver()
    const cluster = yield* driver.open("dev")
    const set = statefulSet({
      replicas: 1,
      pod: {
        containers: [
          container(
            { DATABASE_SECRET_DIR: "/var/run/secrets/agents/database" },
            { volumeMounts: [{ name: "database", mountPath: "/var/run/secrets/agents/database", readOnly: true }] }
          )
        ],
        volumes: [{ name: "database", secret: { secretName: "database", defaultMode: 0o400 } }]
      }
    })
    // The pod waits for its Secret, as on a cluster.
    yield* cluster.apply([set])
    const late = yield* Effect.flip(cluster.awaitRollout([set], { deadlineMs: 300 }))
    expect(late.message).toContain('Secret "database" not found')
    yield* cluster.apply([secret({ password: "old" })])
    yield* cluster.awaitRollout([set], DEADLINE)
    const folder = (yield* environmentOf(cluster))["DATABASE_SECRET_DIR"] ?? ""
    const read = ask(cluster, `/file?path=${encodeURIComponent(`${folder}/password`)}`)
    expect((yield* read).text).toBe("old")
    expect(statSync(`${folder}/password`).mode & 0o777).toBe(0o400)
    const before = yield* cluster.pods
    yield* cluster.apply([secret({ password: "new" })])
    yield* eventually(read, ({ text }) => text === "new", "the new password")
    expect((yield* cluster.pods)[0]?.pid).toBe(before[0]?.pid)
  })
)

it.scopedLive("lets a pod list and delete pods only if a Role allows it", () =>
  Effect.gen(function* () {
    const { driver } = yield* testDriver()
    const cluster = yield* driver.open("dev")
    const set = statefulSet({ replicas: 1, pod: { containers: [container()], serviceAccountName: "agent-smoke" } })
    yield* cluster.apply([account, set])
    yield* cluster.awaitRollout([set], DEADLINE)
    const environment = yield* environmentOf(cluster)
    const { text: token } = yield* ask(
      cluster,
      `/file?path=${encodeURIComponent(environment["KUBERNETES_TOKEN_FILE"] ?? "")}`
    )
    const pods = `${environment["KUBERNETES_API_URL"]}/api/v1/namespaces/agents/pods`
    const headers = { authorization: `Bearer ${token}` }

    expect((yield* through(cluster, pods, { authorization: "Bearer made-up" })).status).toBe(401)
    const denied = yield* through(cluster, pods, headers)
    expect(denied.status).toBe(403)
    expect(denied.text).toContain('system:serviceaccount:agents:agent-smoke\\" cannot list')

    yield* cluster.apply(rbac(["list"]))
    const listed = JSON.parse((yield* through(cluster, `${pods}?labelSelector=app%3Druntime`, headers)).text)
    expect(listed.items.map((item: { metadata: { name: string } }) => item.metadata.name)).toEqual(["runtime-0"])
    expect((yield* through(cluster, `${pods}/runtime-0`, headers, "DELETE")).status).toBe(403)

    yield* cluster.apply(rbac(["list", "delete"]))
    const [before] = yield* cluster.pods
    // The pod deletes itself: the answer may or may not reach it.
    yield* Effect.ignore(through(cluster, `${pods}/runtime-0?gracePeriodSeconds=0`, headers, "DELETE"))
    yield* eventually(cluster.pods, ([pod]) => pod?.ready === true && pod.pid !== before?.pid, "replaced")
  })
)

it.scopedLive("gives each service account its own identity, and refuses a pod without one", () =>
  Effect.gen(function* () {
    const { driver } = yield* testDriver({
      identity: {
        sign: ({ serviceAccount, audience }) => Promise.resolve(`signed for ${serviceAccount} at ${audience}`),
        jwks: () => Promise.resolve({ keys: ["one"] })
      }
    })
    const cluster = yield* driver.open("dev")
    const set = statefulSet({ replicas: 1, pod: { containers: [container()], serviceAccountName: "agent-smoke" } })
    yield* cluster.apply([set])
    const late = yield* Effect.flip(cluster.awaitRollout([set], { deadlineMs: 300 }))
    expect(late.message).toContain('serviceaccount "agent-smoke" not found')
    yield* cluster.apply([account])
    yield* cluster.awaitRollout([set], DEADLINE)
    const host = (yield* environmentOf(cluster))["GCE_METADATA_HOST"]
    const url = `http://${host}/computeMetadata/v1/instance/service-accounts/default/identity?audience=gateway`
    expect((yield* through(cluster, url, {})).status).toBe(403)
    expect((yield* through(cluster, url, { "metadata-flavor": "Google" })).text).toBe(
      "signed for agent-smoke at gateway"
    )
    const keys = yield* Effect.tryPromise(() => fetch(cluster.jwksUrl).then((response) => response.json()))
    expect(keys).toEqual({ keys: ["one"] })
  })
)

it.scopedLive("runs init containers to their end, then sidecars, then the containers", () =>
  Effect.gen(function* () {
    const { driver, events } = yield* testDriver()
    const cluster = yield* driver.open("dev")
    const node = ["/nodejs/bin/node", "-e"]
    const write = 'require("node:fs").writeFileSync(process.env.OUT + "/made", "by init")'
    const mount = { volumeMounts: [{ name: "shared", mountPath: "/shared" }] }
    const env = [{ name: "OUT", value: "/shared" }]
    const set = statefulSet({
      replicas: 1,
      pod: {
        initContainers: [
          { name: "init", image: "app:good", command: [...node, write], env, ...mount },
          {
            name: "proxy",
            image: "app:good",
            restartPolicy: "Always",
            command: [...node, 'require("node:net").createServer().listen(5432); console.log("listening")'],
            startupProbe: { tcpSocket: { port: 5432 }, periodSeconds: 1, failureThreshold: 30 }
          }
        ],
        containers: [container({ OUT: "/shared" }, mount)],
        volumes: [{ name: "shared", emptyDir: {} }]
      }
    })
    yield* cluster.apply([set])
    yield* cluster.awaitRollout([set], DEADLINE)
    const { OUT } = yield* environmentOf(cluster)
    expect((yield* ask(cluster, `/file?path=${encodeURIComponent(`${OUT}/made`)}`)).text).toBe("by init")
    expect(events.filter(({ type }) => type === "started").length).toBe(3)
    yield* cluster.deletePod("runtime-0", { gracePeriodSeconds: 0 })
    yield* eventually(cluster.pods, ([pod]) => pod?.ready === true, "ready again")
  })
)

it.scopedLive("answers names as a cluster's DNS does: Services by their address, unknown ones not at all", () =>
  Effect.gen(function* () {
    const { driver } = yield* testDriver()
    const cluster = yield* driver.open("dev")
    const set = statefulSet({ replicas: 1 })
    yield* cluster.apply([set])
    yield* cluster.awaitRollout([set], DEADLINE)
    const name = "gateway.agents.svc.cluster.local"
    expect((yield* ask(cluster, `/lookup?name=${name}`)).text).toBe("ENOTFOUND")
    // The pod runs already: it sees the change of the file.
    yield* cluster.apply([service])
    const { host } = yield* cluster.serviceAddress("gateway", 8080)
    for (const form of [name, "gateway", "gateway.agents", "GATEWAY.agents.svc."]) {
      expect((yield* ask(cluster, `/lookup?name=${form}`)).text).toBe(JSON.stringify([{ address: host, family: 4 }]))
    }
    expect((yield* ask(cluster, "/lookup?name=localhost")).text).toContain("127.0.0.1")
  })
)
