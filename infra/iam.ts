/** Who may do what: every grant that the stacks make, as rows. Google's and Kubernetes' alike. */
import type { Captured, CapturedStack } from "./testing/capture.ts"

export interface Grant {
  /** `agents-builder@effect-agents-example`, `group:agents-operators@example.com`, `agents/agent-runtime (Kubernetes)`. */
  readonly who: string
  readonly role: string
  /** `project effect-agents-example-prod`, `agents in namespace agents of prod`. */
  readonly on: string
  readonly condition: string
}

const text = (value: unknown): string => String(value ?? "")

/** What the grant is on: the one input that is neither who nor what. */
const subject = ({ type, inputs }: Captured): string => {
  const resource = [
    "serviceAccountId",
    "bucket",
    "datasetId",
    "secretId",
    "repository",
    "cryptoKeyId",
    "attestor",
    "note",
    "webBackendService"
  ].find((key) => inputs[key] !== undefined)
  if (resource === undefined) return `project ${text(inputs["project"])}`
  const kind =
    type
      .split("/")[1]
      ?.split(":")[0]
      ?.replace(/iam.*$/i, "") ?? ""
  return `${kind === "" ? "account" : kind} ${text(inputs[resource]).split("/").at(-1)}`
}

const person = (member: string): string =>
  member.replace(/^serviceAccount:/, "").replace(".iam.gserviceaccount.com", "")

interface Binding {
  readonly roleRef: { readonly name: string }
  readonly subjects: ReadonlyArray<{ readonly kind: string; readonly name: string }>
  readonly metadata: { readonly namespace: string }
}

export const grants = (stacks: ReadonlyArray<Pick<CapturedStack, "stack" | "resources">>): ReadonlyArray<Grant> =>
  stacks
    .flatMap(({ stack, resources }) =>
      resources.flatMap((resource): ReadonlyArray<Grant> => {
        const { inputs, type } = resource
        if (/IamMember|IAMMember/.test(type)) {
          const condition = inputs["condition"] as { readonly expression?: string } | undefined
          return [
            {
              who: person(text(inputs["member"])),
              role: text(inputs["role"]).replace(/^projects\/[^/]+\/roles\//, "custom: "),
              on: subject(resource),
              condition: condition?.expression ?? ""
            }
          ]
        }
        if (type !== "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding") return []
        const binding = inputs as unknown as Binding
        return binding.subjects.map(({ kind, name }) => ({
          who: kind === "User" ? person(name) : `${binding.metadata.namespace}/${name} (Kubernetes)`,
          role: binding.roleRef.name,
          on: `namespace ${binding.metadata.namespace} of ${stack}`,
          condition: ""
        }))
      })
    )
    .sort((a, b) => `${a.who} ${a.role} ${a.on}`.localeCompare(`${b.who} ${b.role} ${b.on}`))

/** `docs/iam.md`. */
export const iamPage = (stacks: ReadonlyArray<CapturedStack>): string =>
  [
    "# Who may do what",
    "",
    "Written by `make infra-docs` from what the stacks would create; a test fails when it is not up to date. Nobody has a basic role, no",
    "account has a key, and processes act as accounts by workload identity alone.",
    "",
    "| Who | Role | On | If |",
    "| --- | --- | --- | --- |",
    ...grants(stacks).map(
      ({ who, role, on, condition }) => `| ${who} | ${role} | ${on} | ${condition === "" ? "" : `\`${condition}\``} |`
    ),
    ""
  ].join("\n")
