/** Which images a cluster runs: those that the attestor signed, and Google's own system images. */
import * as gcp from "@pulumi/gcp"
import * as pulumi from "@pulumi/pulumi"
import * as names from "../names.ts"

export class Admission extends pulumi.ComponentResource {
  constructor(
    name: string,
    args: { readonly environment: names.Environment; readonly attestor: pulumi.Output<string> },
    options?: pulumi.ComponentResourceOptions
  ) {
    super("agents:delivery:Admission", name, {}, options)
    const parent = { parent: this }
    const project = names.environmentProject(args.environment)
    new gcp.binaryauthorization.Policy(
      `${name}-policy`,
      {
        project,
        description: "Only images that were built from main and passed every check",
        globalPolicyEvaluationMode: "ENABLE",
        defaultAdmissionRule: {
          evaluationMode: "REQUIRE_ATTESTATION",
          enforcementMode: "ENFORCED_BLOCK_AND_AUDIT_LOG",
          requireAttestationsBies: [args.attestor]
        }
      },
      parent
    )
    // The cluster's project asks the attestor of the delivery project.
    const account = new gcp.projects.ServiceIdentity(
      `${name}-account`,
      { project, service: "binaryauthorization.googleapis.com" },
      parent
    )
    new gcp.binaryauthorization.AttestorIamMember(
      `${name}-asks-attestor`,
      {
        project: names.deliveryProject,
        attestor: names.attestor,
        role: "roles/binaryauthorization.attestorsVerifier",
        member: account.member
      },
      parent
    )
    this.registerOutputs({})
  }
}
