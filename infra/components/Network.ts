/**
 * A private network: nothing in it has a public address, a peering leads to Cloud SQL, and what goes out goes through one NAT,
 * whose addresses others can allow.
 */
import * as gcp from "@pulumi/gcp"
import * as pulumi from "@pulumi/pulumi"
import * as names from "../names.ts"

export class Network extends pulumi.ComponentResource {
  readonly network: gcp.compute.Network
  readonly subnet: gcp.compute.Subnetwork
  readonly edgeSubnet: gcp.compute.Subnetwork
  /** Must exist before a Cloud SQL instance with a private address is made. */
  readonly peering: gcp.servicenetworking.Connection

  constructor(
    name: string,
    args: { readonly environment: names.Environment },
    options?: pulumi.ComponentResourceOptions
  ) {
    super("agents:foundation:Network", name, {}, options)
    const parent = { parent: this }
    const project = names.environmentProject(args.environment)
    this.network = new gcp.compute.Network(
      `${name}-network`,
      { project, name: "agents", autoCreateSubnetworks: false },
      parent
    )
    const logConfig = { aggregationInterval: "INTERVAL_10_MIN", flowSampling: 0.1, metadata: "EXCLUDE_ALL_METADATA" }
    this.subnet = new gcp.compute.Subnetwork(
      `${name}-subnet`,
      {
        project,
        name: "agents",
        region: names.region,
        network: this.network.id,
        ipCidrRange: names.ranges.nodes,
        privateIpGoogleAccess: true,
        secondaryIpRanges: [
          { rangeName: "pods", ipCidrRange: names.ranges.pods },
          { rangeName: "services", ipCidrRange: names.ranges.services }
        ],
        logConfig
      },
      parent
    )
    this.edgeSubnet = new gcp.compute.Subnetwork(
      `${name}-edge-subnet`,
      {
        project,
        name: "agents-edge",
        region: names.region,
        network: this.network.id,
        ipCidrRange: names.ranges.edge,
        privateIpGoogleAccess: true,
        logConfig
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
        labels: names.labels(args.environment, "network"),
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
    const router = new gcp.compute.Router(
      `${name}-router`,
      { project, name: "agents", region: names.region, network: this.network.id },
      parent
    )
    // A fixed address: providers of models and tools can allow it.
    const outward = new gcp.compute.Address(
      `${name}-nat-address`,
      {
        project,
        name: "agents-nat",
        region: names.region,
        addressType: "EXTERNAL",
        labels: names.labels(args.environment, "network")
      },
      { ...parent, protect: true }
    )
    new gcp.compute.RouterNat(
      `${name}-nat`,
      {
        project,
        name: "agents",
        region: names.region,
        router: router.name,
        natIpAllocateOption: "MANUAL_ONLY",
        natIps: [outward.selfLink],
        sourceSubnetworkIpRangesToNat: "LIST_OF_SUBNETWORKS",
        subnetworks: [
          { name: this.subnet.id, sourceIpRangesToNats: ["ALL_IP_RANGES"] },
          { name: this.edgeSubnet.id, sourceIpRangesToNats: ["ALL_IP_RANGES"] }
        ],
        // A runner holds connections to a model's API for minutes; at 64 ports a node it would soon wait for one.
        enableDynamicPortAllocation: true,
        minPortsPerVm: 256,
        maxPortsPerVm: 4096,
        enableEndpointIndependentMapping: false,
        logConfig: { enable: true, filter: "ERRORS_ONLY" }
      },
      parent
    )
    this.registerOutputs({})
  }
}
