/**
 * Checks rendered manifests against Kubernetes' own API, as `@pulumi/kubernetes` types it. `kubectl apply` would take a mistyped
 * field with a warning at most; here the compiler refuses it. Needs neither a cluster nor a network.
 */
import { join } from "node:path"
import ts from "typescript"
import type { KubeObject } from "../../src/gates/manifests/Workload.ts"

const TYPES: Readonly<Record<string, string>> = {
  "v1/ConfigMap": "core.v1.ConfigMap",
  "v1/Namespace": "core.v1.Namespace",
  "v1/Service": "core.v1.Service",
  "v1/ServiceAccount": "core.v1.ServiceAccount",
  "apps/v1/Deployment": "apps.v1.Deployment",
  "apps/v1/StatefulSet": "apps.v1.StatefulSet",
  "autoscaling/v2/HorizontalPodAutoscaler": "autoscaling.v2.HorizontalPodAutoscaler",
  "batch/v1/CronJob": "batch.v1.CronJob",
  "batch/v1/Job": "batch.v1.Job",
  "networking.k8s.io/v1/NetworkPolicy": "networking.v1.NetworkPolicy",
  "policy/v1/PodDisruptionBudget": "policy.v1.PodDisruptionBudget",
  "scheduling.k8s.io/v1/PriorityClass": "scheduling.v1.PriorityClass",
  "rbac.authorization.k8s.io/v1/Role": "rbac.v1.Role",
  "rbac.authorization.k8s.io/v1/RoleBinding": "rbac.v1.RoleBinding"
}

/** The API's types are megabytes: parsed once for all calls. */
const parsed = new Map<string, ts.SourceFile | undefined>()

/** One line per mistake: `StatefulSet/effect-agent-runtime: Object literal may only specify known properties, and …`. */
export const typeErrors = (root: string, objects: ReadonlyArray<KubeObject>): ReadonlyArray<string> => {
  const unknown = objects
    .filter(({ apiVersion, kind }) => TYPES[`${apiVersion}/${kind}`] === undefined)
    .map(({ apiVersion, kind, metadata }) => `${kind}/${metadata.name}: no type is known for ${apiVersion}/${kind}`)
  const known = objects.filter(({ apiVersion, kind }) => TYPES[`${apiVersion}/${kind}`] !== undefined)
  const file = join(root, "infra", "rendered.generated.ts")
  // One object a line, so that a diagnostic's line says which.
  const text = [
    'import type { input } from "@pulumi/kubernetes/types/index.js"',
    ...known.map(
      (object, i) =>
        `export const o${i}: input.${TYPES[`${object.apiVersion}/${object.kind}`]} = ${JSON.stringify(object)}`
    )
  ].join("\n")
  const options: ts.CompilerOptions = {
    target: ts.ScriptTarget.ES2024,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    strict: true,
    skipLibCheck: true,
    noEmit: true,
    types: []
  }
  const host = ts.createCompilerHost(options)
  const { getSourceFile, fileExists, readFile } = host
  host.fileExists = (name) => name === file || fileExists(name)
  host.readFile = (name) => (name === file ? text : readFile(name))
  host.getSourceFile = (name, languageVersion) => {
    if (name === file) return ts.createSourceFile(name, text, languageVersion)
    if (!parsed.has(name)) parsed.set(name, getSourceFile.call(host, name, languageVersion))
    return parsed.get(name)
  }
  const program = ts.createProgram([file], options, host)
  const source = program.getSourceFile(file)!
  const diagnostics = [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)]
  return [
    ...unknown,
    ...diagnostics.map((diagnostic) => {
      const line = source.getLineAndCharacterOfPosition(diagnostic.start ?? 0).line
      const object = known[line - 1]
      const where = object === undefined ? "the types themselves" : `${object.kind}/${object.metadata.name}`
      return `${where}: ${ts.flattenDiagnosticMessageText(diagnostic.messageText, " ")}`
    })
  ]
}
