/**
 * Refuses what the driver would have to drop, before anything is applied.
 *
 * The schemas say which fields have a meaning here; this module adds the rules between fields: what Kubernetes' own API
 * server refuses, and the settings with which Skaffold reports a success that did not happen.
 */
import { Either, ParseResult, Schema } from "effect"
import { CHANGEABLE } from "../../../gates/manifests/Workload.ts"
import { type KubeObject, ManifestRefused } from "../Driver.ts"
import { type AnyDecoded, type Decoded, type Deployment, decoders, isKind, kinds, type StatefulSet } from "./Kinds.ts"
import type { Container, PodSpec, PodTemplate, Probe } from "./PodSpec.ts"
import { canonical } from "./Revision.ts"

/** An object that passed: what the driver understood of it, and the manifest as it came (revisions hash that). */
export interface Admitted<T extends AnyDecoded = AnyDecoded> {
  readonly object: T
  readonly raw: KubeObject
}

export interface AdmissionContext {
  readonly namespace: string
  /** Commands that are found without a path, such as `k6`. */
  readonly executables: ReadonlySet<string>
  /** The smallest port that a Service may have: below it the system asks for root. */
  readonly lowestPort: number
  /** The same object as applied before, if it was. */
  readonly previous: (kind: string, name: string) => KubeObject | undefined
}

interface Problem {
  readonly object: string
  readonly field: string
  readonly message: string
}

export const nameOf = (object: { readonly kind: string; readonly metadata: { readonly name: string } }): string =>
  `${object.kind}/${object.metadata.name}`

const wayOut = "Remove it, or teach the process driver what it means (src/rehearsal/drivers/processes)."

const fieldPath = (path: ReadonlyArray<PropertyKey>): string =>
  path.reduce<string>(
    (text, part) =>
      typeof part === "number" ? `${text}[${part}]` : text === "" ? String(part) : `${text}.${String(part)}`,
    ""
  )

/** Kubernetes treats null as absent; kustomize keeps the nulls of its input. */
const withoutNulls = (value: unknown): unknown =>
  Array.isArray(value)
    ? value.map(withoutNulls)
    : value !== null && typeof value === "object"
      ? Object.fromEntries(
          Object.entries(value).flatMap(([key, inner]) => (inner === null ? [] : [[key, withoutNulls(inner)]]))
        )
      : value

const decode = (raw: KubeObject): Either.Either<AnyDecoded, ReadonlyArray<Problem>> => {
  const object = nameOf(raw)
  if (!isKind(raw.kind)) {
    return Either.left([
      {
        object,
        field: "kind",
        message: `The process driver has no ${raw.kind}: it knows ${kinds.join(", ")}. Leave the object out of the overlay.`
      }
    ])
  }
  const decoded = Schema.decodeUnknownEither(decoders[raw.kind] as Schema.Schema<AnyDecoded>)(withoutNulls(raw), {
    onExcessProperty: "error",
    errors: "all"
  })
  return Either.mapLeft(decoded, (error) =>
    ParseResult.ArrayFormatter.formatErrorSync(error).map((issue) => ({
      object,
      field: fieldPath(issue.path),
      message:
        issue._tag === "Unexpected"
          ? `The process driver does not honour this field, and would run the pods as if it were not there. ${wayOut}`
          : `${issue.message}. ${wayOut}`
    }))
  )
}

type Report = (field: string, message: string) => void

const checkProbe = (probe: Probe, container: Container, at: string, report: Report) => {
  const kinds = [probe.httpGet, probe.tcpSocket, probe.exec].filter((kind) => kind !== undefined)
  if (kinds.length !== 1) report(at, "A probe is exactly one of httpGet, tcpSocket and exec.")
  if (!at.endsWith("readinessProbe") && (probe.successThreshold ?? 1) !== 1) {
    report(
      `${at}.successThreshold`,
      "Only a readiness probe may ask for more than one success (the API server's rule)."
    )
  }
  const port = probe.httpGet?.port ?? probe.tcpSocket?.port
  if (typeof port === "string" && !container.ports?.some(({ name }) => name === port)) {
    report(at, `The container "${container.name}" has no port named "${port}", so the probe could never succeed.`)
  }
}

const checkContainer = (container: Container, at: string, pod: PodSpec, context: AdmissionContext, report: Report) => {
  const command = container.command?.[0]
  if (command === undefined) {
    report(
      `${at}.command`,
      `Container "${container.name}" has no command. The driver runs image folders and can't read an image's ENTRYPOINT: write the command out, as in ["/nodejs/bin/node", "/app/runner.js"].`
    )
  } else if (!command.startsWith("/") && !context.executables.has(command)) {
    report(
      `${at}.command[0]`,
      `The driver does not know where "${command}" is. It knows ${[...context.executables].join(", ")} and absolute paths inside the image.`
    )
  }
  for (const kind of ["startupProbe", "readinessProbe", "livenessProbe"] as const) {
    const probe = container[kind]
    if (probe !== undefined) checkProbe(probe, container, `${at}.${kind}`, report)
  }
  container.volumeMounts?.forEach((mount, index) => {
    if (!pod.volumes?.some(({ name }) => name === mount.name)) {
      report(`${at}.volumeMounts[${index}].name`, `The pod has no volume "${mount.name}".`)
    }
  })
  const handlers = Object.keys(container.lifecycle?.preStop ?? { none: true })
  if (handlers.length !== 1) report(`${at}.lifecycle.preStop`, "A hook is exactly one of exec, httpGet and sleep.")
}

const checkPod = (
  template: PodTemplate,
  at: string,
  restartPolicy: "Always" | "Never",
  context: AdmissionContext,
  report: Report
) => {
  const pod = template.spec
  const actual = pod.restartPolicy ?? "Always"
  if (actual !== restartPolicy) {
    report(
      `${at}.spec.restartPolicy`,
      `Must be ${restartPolicy} here, is ${actual}${pod.restartPolicy ? "" : " by default"}.`
    )
  }
  const names = new Set<string>()
  const containers = [
    ...(pod.initContainers ?? []).map((container, index) => ({ container, at: `${at}.spec.initContainers[${index}]` })),
    ...pod.containers.map((container, index) => ({ container, at: `${at}.spec.containers[${index}]` }))
  ]
  for (const entry of containers) {
    if (names.has(entry.container.name))
      report(`${entry.at}.name`, `Two containers are named "${entry.container.name}".`)
    names.add(entry.container.name)
    checkContainer(entry.container, entry.at, pod, context, report)
  }
  pod.containers.forEach((container, index) => {
    if (container.restartPolicy !== undefined) {
      report(
        `${at}.spec.containers[${index}].restartPolicy`,
        "Only an init container may have a restartPolicy of its own."
      )
    }
  })
  pod.initContainers?.forEach((container, index) => {
    const useless = (["startupProbe", "readinessProbe", "livenessProbe", "lifecycle"] as const).find(
      (field) => container[field] !== undefined
    )
    if (container.restartPolicy === undefined && useless !== undefined) {
      report(
        `${at}.spec.initContainers[${index}].${useless}`,
        "May not be set on an init container that runs to its end (the API server's rule)."
      )
    }
  })
  if (restartPolicy === "Always" && pod.activeDeadlineSeconds !== undefined) {
    report(`${at}.spec.activeDeadlineSeconds`, "A pod that is kept running can't have an end. Only a Job's pod may.")
  }
  pod.volumes?.forEach((volume, index) => {
    const sources = Object.keys(volume).filter((key) => key !== "name")
    if (sources.length !== 1) report(`${at}.spec.volumes[${index}]`, "A volume has exactly one source.")
  })
}

/** So that a rollout with surge always finds addresses. */
const MOST_REPLICAS = 90

const checkReplicas = (replicas: number | undefined, report: Report) => {
  if ((replicas ?? 1) > MOST_REPLICAS) {
    report(
      "spec.replicas",
      `One machine and one piece of the loopback range hold at most ${MOST_REPLICAS} pods of a workload.`
    )
  }
}

const checkSelector = (workload: StatefulSet | Deployment, report: Report) => {
  const labels = workload.spec.template.metadata?.labels ?? {}
  for (const [key, value] of Object.entries(workload.spec.selector.matchLabels)) {
    if (labels[key] !== value) {
      report(
        "spec.selector.matchLabels",
        `The pod template's labels don't carry ${key}=${value}, so the selector would never find its pods.`
      )
    }
  }
}

/** The API server's rule; a deploy job on a cluster fails with the same words. */
const checkImmutable = (raw: KubeObject, mutable: ReadonlyArray<string>, context: AdmissionContext, report: Report) => {
  const before = context.previous(raw.kind, raw.metadata.name)?.["spec"] as Record<string, unknown> | undefined
  if (before === undefined) return
  const after = raw["spec"] as Record<string, unknown>
  for (const field of new Set([...Object.keys(before), ...Object.keys(after)])) {
    if (!mutable.includes(field) && canonical(before[field]) !== canonical(after[field])) {
      report(
        `spec.${field}`,
        `Forbidden: this field of a ${raw.kind} can't change once it exists (changeable: ${mutable.join(", ")}). Keep it, or delete the workload with its pods orphaned and create it anew.`
      )
    }
  }
}

const checkStatefulSet = (set: StatefulSet, raw: KubeObject, context: AdmissionContext, report: Report) => {
  checkSelector(set, report)
  checkReplicas(set.spec.replicas, report)
  checkPod(set.spec.template, "spec.template", "Always", context, report)
  if (set.spec.updateStrategy?.type === "OnDelete") {
    report(
      "spec.updateStrategy.type",
      "With OnDelete nothing is updated until somebody deletes pods, yet Skaffold's status check reports success. Use RollingUpdate with a partition."
    )
  }
  const partition = set.spec.updateStrategy?.rollingUpdate?.partition ?? 0
  const replicas = set.spec.replicas ?? 1
  const start = set.spec.ordinals?.start ?? 0
  if (replicas > 0 && partition >= start + replicas) {
    report(
      "spec.updateStrategy.rollingUpdate.partition",
      `Partition ${partition} of ${replicas} replicas would update nothing and report success (Skaffold and kubectl: "roll out complete: 0 new pods"). Use at most ${start + replicas - 1}.`
    )
  }
  checkImmutable(raw, CHANGEABLE.StatefulSet, context, report)
}

const isZero = (value: number | string | undefined) => value === 0 || value === "0%"

const checkDeployment = (deployment: Deployment, raw: KubeObject, context: AdmissionContext, report: Report) => {
  checkSelector(deployment, report)
  checkReplicas(deployment.spec.replicas, report)
  checkPod(deployment.spec.template, "spec.template", "Always", context, report)
  const { type = "RollingUpdate", rollingUpdate } = deployment.spec.strategy ?? {}
  if (type === "Recreate" && rollingUpdate !== undefined) {
    report("spec.strategy.rollingUpdate", "May not be set when the strategy's type is Recreate.")
  }
  if (isZero(rollingUpdate?.maxSurge) && isZero(rollingUpdate?.maxUnavailable)) {
    report("spec.strategy.rollingUpdate", "maxSurge and maxUnavailable can't both be 0: no pod could ever be replaced.")
  }
  checkImmutable(raw, CHANGEABLE.Deployment, context, report)
}

const checkService = (service: Decoded["Service"], context: AdmissionContext, report: Report) => {
  const headless = service.spec.clusterIP === "None"
  if (!headless && (service.spec.ports ?? []).length === 0) report("spec.ports", "A ClusterIP Service needs a port.")
  service.spec.ports?.forEach((port, index) => {
    if (!headless && port.port < context.lowestPort) {
      report(
        `spec.ports[${index}].port`,
        `Port ${port.port} asks for root on this machine (lowest port: ${context.lowestPort}), and no step of the rehearsal may need it. Use a port of ${context.lowestPort} or above, such as ${8000 + (port.port % 1000)}.`
      )
    }
  })
}

const checkRules = (
  admitted: Admitted,
  context: AdmissionContext,
  purpose: "apply" | "job"
): ReadonlyArray<Problem> => {
  const { object, raw } = admitted
  const problems: Array<Problem> = []
  const report: Report = (field, message) => problems.push({ object: nameOf(raw), field, message })
  if (object.kind !== "Namespace" && (object.metadata.namespace ?? context.namespace) !== context.namespace) {
    report("metadata.namespace", `This cluster holds the namespace "${context.namespace}" alone.`)
  }
  switch (object.kind) {
    case "StatefulSet":
      checkStatefulSet(object, raw, context, report)
      break
    case "Deployment":
      checkDeployment(object, raw, context, report)
      break
    case "Service":
      checkService(object, context, report)
      break
    case "CronJob":
      checkPod(object.spec.jobTemplate.spec.template, "spec.jobTemplate.spec.template", "Never", context, report)
      break
    case "Job":
      checkPod(object.spec.template, "spec.template", "Never", context, report)
      if (purpose === "apply") {
        report(
          "kind",
          "A Job among the manifests can be applied once only (its template is immutable) and nothing waits for it. Make it a customAction or a verify test in skaffold.yaml."
        )
      }
      break
  }
  return problems
}

const refusal = (problems: ReadonlyArray<Problem>): ManifestRefused => {
  const [first, ...rest] = problems
  const others = rest.map(({ field, message, object }) => `\n  also ${object} ${field}: ${message}`).join("")
  return new ManifestRefused({
    object: first?.object ?? "",
    field: first?.field ?? "",
    message: `${first?.object} ${first?.field}: ${first?.message} Nothing was applied.${others}`
  })
}

/** Admits all objects or none. `job` also admits a Job, which `apply` refuses. */
export const admit = (
  objects: ReadonlyArray<KubeObject>,
  context: AdmissionContext,
  purpose: "apply" | "job" = "apply"
): Either.Either<ReadonlyArray<Admitted>, ManifestRefused> => {
  const admitted: Array<Admitted> = []
  const problems: Array<Problem> = []
  for (const raw of objects) {
    const decoded = decode(raw)
    if (Either.isLeft(decoded)) {
      problems.push(...decoded.left)
      continue
    }
    const entry = { object: decoded.right, raw: withoutNulls(raw) as KubeObject }
    problems.push(...checkRules(entry, context, purpose))
    admitted.push(entry)
  }
  // A field that no alternative of a union takes is reported by each of them: once is enough.
  const distinct = problems.filter(
    ({ field, object }, index) =>
      problems.findIndex((other) => other.field === field && other.object === object) === index
  )
  return distinct.length > 0 ? Either.left(refusal(distinct)) : Either.right(admitted)
}
