/**
 * Who says "this image was built from main and passed": a key that only the build may sign with. Clusters run what it signed, by digest
 * (`Admission.ts`).
 */
import * as gcp from "@pulumi/gcp"
import * as pulumi from "@pulumi/pulumi"
import * as names from "../names.ts"

export class Attestor extends pulumi.ComponentResource {
  /** `projects/P/attestors/agents-built`. */
  readonly path: pulumi.Output<string>

  constructor(
    name: string,
    args: {
      readonly builder: pulumi.Output<string>
      /** PEM. Until it is known, clusters admit nothing of ours: fail closed. */
      readonly publicKey: string | undefined
    },
    options?: pulumi.ComponentResourceOptions
  ) {
    super("agents:delivery:Attestor", name, {}, options)
    const parent = { parent: this }
    const project = names.deliveryProject
    const ring = new gcp.kms.KeyRing(
      `${name}-keys`,
      { project, name: names.attestorKeyRing, location: names.region },
      parent
    )
    const key = new gcp.kms.CryptoKey(
      `${name}-key`,
      {
        name: names.attestorKey,
        keyRing: ring.id,
        purpose: "ASYMMETRIC_SIGN",
        // The version is a resource of its own: attestations name it.
        skipInitialVersionCreation: true,
        versionTemplate: { algorithm: "EC_SIGN_P256_SHA256", protectionLevel: "SOFTWARE" },
        labels: names.labels(names.shared, "attestor")
      },
      { ...parent, protect: true }
    )
    const version = new gcp.kms.CryptoKeyVersion(`${name}-key-1`, { cryptoKey: key.id }, { ...parent, protect: true })
    const note = new gcp.containeranalysis.Note(
      `${name}-note`,
      {
        project,
        name: names.attestor,
        attestationAuthority: { hint: { humanReadableName: "Built from main by Cloud Build, all checks passed" } }
      },
      parent
    )
    const attestor = new gcp.binaryauthorization.Attestor(
      `${name}-attestor`,
      {
        project,
        name: names.attestor,
        attestationAuthorityNote: {
          noteReference: note.name,
          ...(args.publicKey === undefined
            ? {}
            : {
                publicKeys: [
                  {
                    id: pulumi.interpolate`//cloudkms.googleapis.com/v1/${version.name}`,
                    pkixPublicKey: { publicKeyPem: args.publicKey, signatureAlgorithm: "ECDSA_P256_SHA256" }
                  }
                ]
              })
        }
      },
      parent
    )
    this.path = pulumi.interpolate`projects/${project}/attestors/${attestor.name}`
    const member = pulumi.interpolate`serviceAccount:${args.builder}`
    new gcp.kms.CryptoKeyIAMMember(
      `${name}-builder-signs`,
      { cryptoKeyId: key.id, role: "roles/cloudkms.signerVerifier", member },
      parent
    )
    new gcp.binaryauthorization.AttestorIamMember(
      `${name}-builder-reads`,
      { project, attestor: attestor.name, role: "roles/binaryauthorization.attestorsViewer", member },
      parent
    )
    new gcp.containeranalysis.NoteIamMember(
      `${name}-builder-attaches`,
      { project, note: note.name, role: "roles/containeranalysis.notes.attacher", member },
      parent
    )
    this.registerOutputs({})
  }
}
