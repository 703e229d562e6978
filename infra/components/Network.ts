/** A private network: nodes without public addresses, and a peering through which Cloud SQL is reached. */
import * as gcp from "@pulumi/gcp"
import * as pulumi from "@pulumi/pulumi"
import * as names from "../names.ts"

export class Network extends pulumi.ComponentResource {
  readonly network: gcp.compute.Network
  readonly subnet: gcp.compute.Subnetwork
  /** Must exist before a Cloud SQL instance with a private address is made. Nothing but `dependsOn` says so. */
  readonly peering: gcp.servicenetworking.Connection

  constructor(
    name: string,
    args: { readonly environment: names.Environment },
    options?: pulumi.ComponentResourceOptions
  ) {
    super("agents:platform:Network", name, {}, options)
    const parent = { parent: this }
    const project = names.environmentProject(args.environment)
    this.network = new gcp.compute.Network(
      `${name}-network`,
      { project, name: "agents", autoCreateSubnetworks: false },
      parent
    )
    this.subnet = new gcp.compute.Subnetwork(
      `${name}-subnet`,
      {
        project,
        name: "agents",
        region: names.region,
        network: this.network.id,
        ipCidrRange: names.subnetRange,
        privateIpGoogleAccess: true,
        secondaryIpRanges: [
          { rangeName: "pods", ipCidrRange: "10.44.0.0/14" },
          { rangeName: "services", ipCidrRange: "10.43.0.0/20" }
        ]
      },
      parent
    )
    const range = new gcp.compute.GlobalAddress(
      `${name}-services-range`,
      {
        project,
        name: "agents-google-services",
        purpose: "VPC_PEERING",
        addressType: "INTERNAL",
        prefixLength: 20,
        network: this.network.id
      },
      parent
    )
    this.peering = new gcp.servicenetworking.Connection(
      `${name}-peering`,
      {
        network: this.network.id,
        service: "servicenetworking.googleapis.com",
        reservedPeeringRanges: [range.name]
      },
      parent
    )
    this.registerOutputs({})
  }
}
