/**
 * What `clouddeploy/` and `skaffold.yaml` must say of an environment that releases are delivered to: a target, a stage, a profile.
 * `make infra-docs` writes them where they are missing, from `names.ts`, before the first stage that asks for approval. What is there stays
 * as it is: how an environment is delivered to (canary, approval, parameters) is for people to write.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { parse, parseAllDocuments } from "yaml"
import * as names from "./names.ts"

export interface DeliveryTexts {
  readonly targets: string
  readonly pipeline: string
  readonly skaffold: string
}
const files: Readonly<Record<keyof DeliveryTexts, string>> = {
  targets: "clouddeploy/targets.yaml",
  pipeline: "clouddeploy/pipeline.yaml",
  skaffold: "skaffold.yaml"
}

const target = (environment: string) => `---
apiVersion: deploy.cloud.google.com/v1
kind: Target
metadata:
  name: ${environment}
  labels:
    app: agents
    env: ${environment}
description: ${environment}
gke:
  cluster: ${names.clusterPath(environment)}
  # The control plane has no public address; its DNS endpoint admits by IAM.
  dnsEndpoint: true
deployParameters:
  KILL_GRACE_SECONDS: "0"
executionConfigs:
  - usages: [RENDER, PREDEPLOY, DEPLOY, VERIFY, POSTDEPLOY]
    serviceAccount: ${names.accountEmail(names.deployerAccount(environment), names.deliveryProject)}
    executionTimeout: 3600s
`
const stage = (environment: string) => `    - targetId: ${environment}
      profiles: [${environment}]
      strategy:
        standard:
          predeploy:
            actions: [gate-workflows, migrate]
          verify: true
          postdeploy:
            actions: [record]
`
const profile = (environment: string) => `  - name: ${environment}
    manifests:
      kustomize:
        paths: [k8s/overlays/${environment}]
`

/** Before this line, and before the comment that belongs to it. */
const insertedBefore = (text: string, line: string, block: string): string => {
  const lines = text.split("\n")
  let at = lines.indexOf(line)
  if (at === -1) throw new Error(`There is no line "${line}" before which a new environment could be written.`)
  while (at > 0 && /^\s*(#.*)?$/.test(lines[at - 1]!)) at -= 1
  return [...lines.slice(0, at), ...block.trimEnd().split("\n"), ...lines.slice(at)].join("\n")
}

interface Named {
  readonly metadata: { readonly name: string }
  readonly requireApproval?: boolean
}
interface Pipeline {
  readonly serialPipeline: { readonly stages: ReadonlyArray<{ readonly targetId: string }> }
}
interface Skaffold {
  readonly profiles: ReadonlyArray<{ readonly name: string; readonly manifests: unknown }>
}

/** The files with this environment in them. The same texts, where it is in them. */
export const deliveredTo = (texts: DeliveryTexts, environment: string): DeliveryTexts => {
  const targets = parseAllDocuments(texts.targets).map((document) => document.toJS() as Named)
  const { stages } = (parse(texts.pipeline) as Pipeline).serialPipeline
  const { profiles } = parse(texts.skaffold) as Skaffold
  const guarded = stages.find(({ targetId }) =>
    targets.some(({ metadata, requireApproval }) => metadata.name === targetId && requireApproval === true)
  )
  const paths = JSON.stringify(profiles.map(({ manifests }) => manifests))
  return {
    targets: targets.some(({ metadata }) => metadata.name === environment)
      ? texts.targets
      : `${texts.targets.trimEnd()}\n${target(environment)}`,
    pipeline: stages.some(({ targetId }) => targetId === environment)
      ? texts.pipeline
      : guarded === undefined
        ? `${texts.pipeline.trimEnd()}\n${stage(environment)}`
        : insertedBefore(texts.pipeline, `    - targetId: ${guarded.targetId}`, stage(environment)),
    // An environment of several phases has a profile for each, of names of their own.
    skaffold: new RegExp(`k8s/overlays/${environment}["-]`).test(paths)
      ? texts.skaffold
      : insertedBefore(texts.skaffold, "deploy:", profile(environment))
  }
}

/** Into the files of the repository. An environment without an overlay is left out: there is nothing to deliver. */
export const writeDelivery = (repository: string, environments: ReadonlyArray<string>): void => {
  const keys = Object.keys(files) as ReadonlyArray<keyof DeliveryTexts>
  const read = Object.fromEntries(
    keys.map((key) => [key, readFileSync(join(repository, files[key]), "utf8")])
  ) as unknown as DeliveryTexts
  const written = environments
    .filter((environment) => existsSync(join(repository, "k8s", "overlays", environment)))
    .reduce(deliveredTo, read)
  for (const key of keys) if (written[key] !== read[key]) writeFileSync(join(repository, files[key]), written[key])
}
