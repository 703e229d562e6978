/** Components that no overlay has yet: each must still apply to the base, and set what the code reads. */
import { execFile } from "node:child_process"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join, relative } from "node:path"
import { promisify } from "node:util"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { parseAllDocuments } from "yaml"
import { modelKeyFile, modelSecret } from "../infra/names.ts"
import { readModels } from "../src/runtime/ModelSettings.ts"
import { SELECTOR } from "../src/runtime/PodHealth.ts"
import { Reader, readRunnerHealth } from "../src/runtime/Settings.ts"

const root = join(import.meta.dirname, "..")

interface Workload {
  readonly kind: string
  readonly spec: {
    readonly template: {
      readonly metadata: { readonly labels: Readonly<Record<string, string>> }
      readonly spec: {
        readonly containers: ReadonlyArray<Container>
        readonly volumes: ReadonlyArray<{ readonly name: string; readonly secret?: { readonly secretName: string } }>
      }
    }
  }
}
interface Container {
  readonly env: ReadonlyArray<{ readonly name: string; readonly value?: string }>
  readonly volumeMounts: ReadonlyArray<{ readonly name: string; readonly mountPath: string }>
}

const rendered = (component: string) =>
  Effect.acquireUseRelease(
    Effect.promise(() => mkdtemp(join(tmpdir(), "agents-component-"))),
    (folder) =>
      Effect.promise(async () => {
        const at = (path: string) => relative(folder, join(root, "k8s", path))
        const text = `apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [${at("base")}]\ncomponents: [${at(`components/${component}`)}]\n`
        await writeFile(join(folder, "kustomization.yaml"), text)
        const { stdout } = await promisify(execFile)(join(root, ".tools/kustomize"), ["build", folder])
        return parseAllDocuments(stdout).map((document) => document.toJS() as Workload)
      }),
    (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
  )

it.live("lets Kubernetes be asked about runners, with the certificate that its API needs", () =>
  Effect.gen(function* () {
    const runner = (yield* rendered("kubernetes-health")).find(({ kind }) => kind === "StatefulSet")
    const env = runner?.spec.template.spec.containers[0]?.env ?? []
    const value = (name: string) => env.filter((each) => each.name === name).map((each) => each.value)
    expect(value("NODE_EXTRA_CA_CERTS")).toEqual(["/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"])
    const reader = new Reader({
      RUNNER_HEALTH: value("RUNNER_HEALTH")[0],
      KUBERNETES_SERVICE_HOST: "10.0.0.1"
    })
    expect(readRunnerHealth(reader)).toMatchObject({ url: "https://10.0.0.1:443" })
    expect(reader.problems).toEqual([])
  })
)

it.live("has runners ask about the pods of every pool", () =>
  Effect.gen(function* () {
    const pools = (yield* rendered("enterprise")).filter(({ kind }) => kind === "StatefulSet")
    expect(pools).toHaveLength(2)
    for (const { spec } of pools) {
      expect(SELECTOR).toMatch(new RegExp(`[(,]${spec.template.metadata.labels["app"]}[,)]`))
    }
  })
)

it.live("hands the key of OpenAI's models to runners where Google's sync writes it", () =>
  Effect.gen(function* () {
    const runner = (yield* rendered("model-key")).find(({ kind }) => kind === "StatefulSet")
    const { containers, volumes } = runner!.spec.template.spec
    const [container] = containers
    const folder = container?.env.find(({ name }) => name === "MODEL_SECRET_DIR")?.value
    const mount = container?.volumeMounts.find(({ mountPath }) => mountPath === folder)
    expect(volumes.find(({ name }) => name === mount?.name)?.secret?.secretName).toBe(modelSecret)
    const reader = new Reader({ MODEL_SECRET_DIR: folder })
    readModels(reader)
    expect(reader.problems).toEqual([expect.stringContaining(`${folder}/${modelKeyFile} is missing`)])
  })
)
