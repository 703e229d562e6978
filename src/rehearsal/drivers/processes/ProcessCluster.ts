/**
 * One target's cluster of processes: the objects, the pods, and one queue from which the controllers work.
 *
 * Everything that changes state runs on the event loop without a pause in between, so there are no locks. Whatever happens
 * puts a token into the queue; the loop then asks every controller what it wants and does it.
 */
import { randomUUID } from "node:crypto"
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Effect, Either, FiberSet, Queue, Scope } from "effect"
import type { Subnet } from "../../net/Loopback.ts"
import { type Cluster, type DriverFailed, type KubeObject, NotFound } from "../Driver.ts"
import * as Addresses from "./Addresses.ts"
import { type AdmissionContext, type Admitted, admit } from "./Admission.ts"
import { awaitRollout } from "./AwaitRollout.ts"
import { type PodHost, tokenFolder, Waiting } from "./ContainerCommand.ts"
import type { Janitor } from "./Janitor.ts"
import { runJob } from "./JobRun.ts"
import * as KubernetesApi from "./KubernetesApi.ts"
import * as MetadataServer from "./MetadataServer.ts"
import { files, namesOf } from "./Names.ts"
import * as Operations from "./Operations.ts"
import * as Pod from "./Pod.ts"
import type { PodEvent } from "./PodEvent.ts"
import { makeContainers, matches, type PodRecord, statusOf } from "./PodRecord.ts"
import type { ProcessDriverOptions } from "./ProcessDriver.ts"
import * as ServiceAddresses from "./ServiceAddresses.ts"
import * as StoreModule from "./Store.ts"
import * as Workloads from "./Workloads.ts"

export interface ProcessCluster extends Cluster {
  /** The cluster's piece of the loopback range; `.3` to `.9` are free for what the platform provides. */
  readonly subnet: Subnet
  /** Where the identity tokens' keys are: the value of IDENTITY_JWKS_URL. */
  readonly jwksUrl: string
  /** Logs of all pods, `<pod>_<container>.log`, kept after the pods are gone. */
  readonly logFolder: string
}

export interface ClusterInput {
  readonly target: string
  readonly folder: string
  readonly compileCache: string
  readonly subnet: Subnet
  readonly janitor: Janitor
  readonly options: ProcessDriverOptions
  readonly lowestPort: number
}

export interface CreatePod extends Workloads.NewPod {
  readonly env?: Readonly<Record<string, string>>
  readonly restart?: boolean
  readonly onLine?: (container: string, line: string) => void
}

/** A mistake while looking must not stop the looking: the next change tries again. */
const surviving = <A, R>(effect: Effect.Effect<A, never, R>) =>
  Effect.catchAllDefect(effect, (defect) =>
    Effect.logError("the process driver could not bring its pods up to date", defect)
  )

export const open = (input: ClusterInput): Effect.Effect<ProcessCluster, DriverFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const { folder, options, target } = input
    const namespace = options.namespace ?? "agents"
    const store = StoreModule.make()
    const workloads = Workloads.make(store)
    const addresses = Addresses.make(input.subnet)
    const running = new Map<string, Pod.RunningPod>()
    const tokens = new Map<string, { readonly pod: string; readonly serviceAccount: string }>()
    const metadata = new Map<string, string>()
    const records = () => [...running.values()].map(({ record }) => record)

    rmSync(join(folder, "pods"), { recursive: true, force: true })
    mkdirSync(join(folder, "pods"), { recursive: true, mode: 0o700 })
    mkdirSync(join(folder, "logs"), { recursive: true })
    const names = files(folder)

    const work = yield* Queue.sliding<void>(1)
    const changed = () => {
      names.write(
        namesOf(
          namespace,
          store.list("Service").map(({ object }) => object),
          records(),
          addresses.service
        )
      )
      work.unsafeOffer(undefined)
    }
    names.write(new Map())

    const event = (pod: PodRecord, type: PodEvent["type"], message?: string) =>
      options.onEvent?.({
        target,
        pod: pod.name,
        owner: pod.owner,
        images: pod.containers.map(({ spec }) => spec.image),
        type,
        ...(message === undefined ? {} : { message }),
        at: new Date()
      })

    // Registered before the pods' fibers, so it runs after them: whatever they left is killed.
    const everStarted = new Set<Pod.RunningPod>()
    yield* Effect.addFinalizer(() =>
      Effect.forEach(everStarted, ({ kill }) => kill, { concurrency: "unbounded", discard: true }).pipe(
        Effect.timeoutOption(5000),
        Effect.zipRight(Effect.sync(() => rmSync(join(folder, "pods"), { recursive: true, force: true })))
      )
    )
    const fork = yield* FiberSet.makeRuntime<never, unknown, never>()

    const host: PodHost = {
      namespace,
      folder,
      store,
      names,
      janitor: input.janitor,
      fastStart: options.fastStart ?? true,
      executables: options.executables,
      image: options.image,
      compileCache: input.compileCache,
      platform: (pod) => ({
        KUBERNETES_API_URL: `http://${api}`,
        KUBERNETES_TOKEN_FILE: join(tokenFolder(host, pod), "token"),
        GCE_METADATA_HOST: metadata.get(pod.serviceAccount) ?? ""
      }),
      admitPod: ({ serviceAccount }) =>
        metadata.has(serviceAccount)
          ? Effect.void
          : new Waiting({ reason: "FailedCreate", message: `serviceaccount "${serviceAccount}" not found` }),
      changed,
      event
    }

    const writeToken = (record: PodRecord, token: string) => {
      const path = tokenFolder(host, record)
      mkdirSync(path, { recursive: true, mode: 0o700 })
      const mounted =
        record.template.spec.automountServiceAccountToken ??
        store.get("ServiceAccount", record.serviceAccount)?.object.automountServiceAccountToken ??
        true
      if (mounted) {
        writeFileSync(join(path, "token"), token, { mode: 0o600 })
        // The API speaks plain HTTP here, so there is no authority to trust; programs that open the file still start.
        writeFileSync(join(path, "ca.crt"), "")
      }
      writeFileSync(join(path, "namespace"), namespace)
    }

    const createPod = (
      pod: CreatePod
    ): Either.Either<Pod.RunningPod & { readonly done: Effect.Effect<number> }, string> => {
      const address = addresses.pod(pod.name, pod.stable)
      if (address === undefined) return Either.left("This cluster's 195 pod addresses are all taken.")
      const record: PodRecord = {
        name: pod.name,
        uid: randomUUID(),
        owner: pod.owner,
        revision: pod.revision,
        template: pod.template,
        labels: {
          ...pod.template.metadata?.labels,
          ...(pod.stable ? { "statefulset.kubernetes.io/pod-name": pod.name } : {})
        },
        annotations: pod.template.metadata?.annotations ?? {},
        serviceAccount: pod.template.spec.serviceAccountName ?? "default",
        subdomain: pod.subdomain,
        address,
        createdAt: new Date(),
        containers: makeContainers(pod.template),
        phase: "Pending",
        ready: false,
        readySince: undefined,
        terminating: false,
        waiting: undefined
      }
      const token = randomUUID()
      tokens.set(token, { pod: record.name, serviceAccount: record.serviceAccount })
      writeToken(record, token)
      const started = Pod.make(record, host, {
        env: pod.env ?? {},
        restart: pod.restart ?? true,
        token,
        onLine: pod.onLine ?? (() => {})
      })
      running.set(record.name, started)
      everStarted.add(started)
      const done = started.run.pipe(
        Effect.ensuring(
          Effect.sync(() => {
            running.delete(record.name)
            tokens.delete(token)
            addresses.release(record.name)
            changed()
          })
        ),
        Effect.tap(() => Effect.sync(() => everStarted.delete(started)))
      )
      changed()
      return Either.right({ ...started, done })
    }

    const reconcile = Effect.sync(() => {
      const { create, remove } = workloads.plan(records())
      for (const name of remove) {
        const pod = running.get(name)
        if (pod) fork(pod.stop())
      }
      for (const pod of create) {
        Either.match(createPod(pod), {
          onLeft: (message) => fork(Effect.logError(`${target}: ${pod.name} can't be made. ${message}`)),
          onRight: ({ done }) => fork(done)
        })
      }
      // A pod becomes available some time after it became ready, and nothing else happens then.
      for (const record of records()) {
        const seconds = workloads.minReadySeconds(record.owner)
        const left = seconds * 1000 - (Date.now() - (record.readySince ?? 0))
        if (record.ready && left > 0) setTimeout(() => work.unsafeOffer(undefined), left).unref()
      }
    })
    yield* Queue.take(work).pipe(Effect.zipRight(reconcile.pipe(surviving)), Effect.forever, Effect.forkScoped)

    const deletePod: Cluster["deletePod"] = (name, { gracePeriodSeconds }) =>
      Effect.suspend(() => {
        const pod = running.get(name)
        return pod === undefined
          ? new NotFound({
              object: `Pod/${name}`,
              message: `There is no pod "${name}" in target "${target}". There are: ${[...running.keys()].join(", ") || "none"}.`
            })
          : pod.stop(gracePeriodSeconds)
      })

    const operations: Operations.OperationsHost = {
      store,
      pods: records,
      stop: (name) => running.get(name)?.stop() ?? Effect.void,
      changed
    }

    const api = yield* KubernetesApi.open(addresses.controlPlane, {
      namespace,
      store,
      pods: records,
      authenticate: (token) => tokens.get(token)?.serviceAccount,
      deletePod
    })
    const keys = yield* MetadataServer.openKeys(addresses.controlPlane, options.identity)
    const openMetadata = (name: string, email = `${name}@${namespace}.svc`) =>
      metadata.has(name)
        ? Effect.void
        : Effect.map(MetadataServer.open(addresses.controlPlane, { name, email }, options.identity), (at) =>
            metadata.set(name, at)
          )
    yield* openMetadata("default")

    const services = yield* ServiceAddresses.make(addresses, (service) =>
      records().filter((pod) => pod.ready && !pod.terminating && matches(service.spec.selector, pod))
    )
    const scope = yield* Effect.scope

    const context: AdmissionContext = {
      namespace,
      executables: new Set(Object.keys(options.executables)),
      lowestPort: input.lowestPort,
      previous: (kind, name) =>
        kind === "StatefulSet" || kind === "Deployment" ? store.get(kind, name)?.raw : undefined
    }

    const commit = (admitted: ReadonlyArray<Admitted>) =>
      Effect.gen(function* () {
        for (const { object } of admitted) {
          if (object.kind === "Service") yield* services.open(object)
          if (object.kind === "ServiceAccount") {
            yield* openMetadata(object.metadata.name, object.metadata.annotations?.["iam.gke.io/gcp-service-account"])
          }
        }
        for (const entry of admitted) store.put(entry)
        workloads.observe()
        for (const { syncVolumes } of running.values()) syncVolumes()
        changed()
      }).pipe(Scope.extend(scope))

    return {
      target,
      subnet: input.subnet,
      jwksUrl: `http://${keys}/certs`,
      logFolder: join(folder, "logs"),
      check: (objects: ReadonlyArray<KubeObject>) => Effect.asVoid(admit(objects, context, "job")),
      apply: (objects: ReadonlyArray<KubeObject>) => Effect.flatMap(admit(objects, context), commit),
      awaitRollout: (objects, { deadlineMs }) => awaitRollout(objects, deadlineMs, workloads, records, operations.stop),
      runJob: (job, jobOptions) =>
        runJob(job, jobOptions, {
          admit: (objects) => admit(objects, context, "job"),
          create: createPod,
          fork,
          namespace
        }),
      pods: Effect.sync(() => records().map(statusOf)),
      deletePod,
      prune: (objects) => Operations.prune(objects, operations),
      drainNode: (node) => Operations.drainNode(node, operations),
      uncordonNode: () => Effect.void,
      serviceAddress: (service, port) => services.address(store.get("Service", service)?.object, service, port)
    } satisfies ProcessCluster
  })
