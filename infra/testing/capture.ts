/** Runs the program under Pulumi's mocks and returns what it would create. */
import * as pulumi from "@pulumi/pulumi"
import type { Environment } from "../names.ts"

export interface Captured {
  /** `gcp:clouddeploy/target:Target`. */
  readonly type: string
  readonly name: string
  readonly inputs: Readonly<Record<string, unknown>>
}

/** What Google would answer: computed fields that other resources take. */
const computed = (type: string, inputs: Record<string, unknown>): Record<string, unknown> => {
  switch (type) {
    case "gcp:serviceaccount/account:Account": {
      const email = `${inputs["accountId"]}@${inputs["project"]}.iam.gserviceaccount.com`
      return {
        email,
        member: `serviceAccount:${email}`,
        name: `projects/${inputs["project"]}/serviceAccounts/${email}`
      }
    }
    case "gcp:projects/iAMCustomRole:IAMCustomRole":
      return { name: `projects/${inputs["project"]}/roles/${inputs["roleId"]}` }
    case "gcp:container/cluster:Cluster":
      return { controlPlaneEndpointsConfig: { dnsEndpointConfig: { endpoint: "gke-test.us-central1.gke.goog" } } }
    case "gcp:sql/databaseInstance:DatabaseInstance":
      return { privateIpAddress: "10.50.0.3" }
    default:
      return {}
  }
}

const SECRET = "4dabf18193072939515e22adb298388d"

/** Secrets arrive wrapped: take the wrapping off, so that a test sees the value. */
const plain = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== "object" || value === null) return value
  if (SECRET in value && "value" in value) return plain(value.value)
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, plain(field)]))
}

/** Everything that a stack for this environment registers, components left out. */
export const capture = async (environment: Environment, delivery: boolean): Promise<ReadonlyArray<Captured>> => {
  const seen: Array<Captured> = []
  await pulumi.runtime.setMocks(
    {
      newResource: ({ type, name, inputs, id }) => {
        if (!type.startsWith("agents:")) seen.push({ type, name, inputs: plain(inputs) as Captured["inputs"] })
        return {
          id: id === undefined || id === "" ? `${name}-id` : id,
          state: { ...inputs, ...computed(type, inputs) }
        }
      },
      call: ({ token }) => {
        throw new Error(`The program looks up ${token}. A preview must work without the network.`)
      }
    },
    "effect-agents",
    environment,
    false
  )
  const { program } = await import("../program.ts")
  await program({ environment, delivery, protect: true })
  await pulumi.runtime.disconnect()
  return seen
}
