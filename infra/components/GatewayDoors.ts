/**
 * How the gateways are reached from outside of their namespace: by users' sockets over a load balancer of their own (Cloud Run would cut
 * them after 60 minutes), by the edge at an address inside the network, by Google's collectors of metrics.
 *
 * None of this belongs to a release: pods come and go behind it.
 */
import * as gcp from "@pulumi/gcp"
import * as k8s from "@pulumi/kubernetes"
import * as pulumi from "@pulumi/pulumi"
import * as names from "../names.ts"

export interface GatewayDoorsArgs {
  readonly environment: names.Environment
  readonly provider: k8s.Provider
  readonly subnet: pulumi.Output<string>
  readonly socketHost: string
  readonly certificateMap: pulumi.Output<string>
  readonly armorPolicy: string
  /** Whether there is a second pool of runners, whose metrics are collected too. */
  readonly enterprise: boolean
}

/** A socket lives at most a day; clients then reconnect with the last event they saw. */
const SOCKET_SECONDS = 86_400

export class GatewayDoors extends pulumi.ComponentResource {
  constructor(name: string, args: GatewayDoorsArgs, options?: pulumi.ComponentResourceOptions) {
    super("agents:platform:GatewayDoors", name, {}, options)
    const parent = { parent: this }
    const within = { ...parent, provider: args.provider }
    const project = names.environmentProject(args.environment)
    const labels = names.labels(args.environment, "gateway")
    const metadata = (called: string) => ({ name: called, namespace: names.namespace, labels })

    const internal = new gcp.compute.Address(
      `${name}-internal-address`,
      {
        project,
        name: "agents-gateway",
        region: names.region,
        addressType: "INTERNAL",
        purpose: "SHARED_LOADBALANCER_VIP",
        subnetwork: args.subnet,
        address: names.gatewayAddress,
        labels
      },
      parent
    )
    new k8s.core.v1.Service(
      `${name}-internal`,
      {
        metadata: {
          ...metadata("agent-gateway-internal"),
          annotations: { "networking.gke.io/load-balancer-type": "Internal" }
        },
        spec: {
          type: "LoadBalancer",
          loadBalancerIP: internal.address,
          // The edge alone. Pods use the Service of the release.
          loadBalancerSourceRanges: [names.ranges.edge],
          selector: { app: names.gatewayService },
          ports: [{ name: "http", port: names.gatewayPort, targetPort: "http" }]
        }
      },
      within
    )

    const address = new gcp.compute.GlobalAddress(
      `${name}-socket-address`,
      { project, name: "agents-sockets", addressType: "EXTERNAL", labels },
      // DNS points to it.
      { ...parent, protect: true }
    )
    const custom = (
      kind: string,
      apiVersion: string,
      called: string,
      spec: object,
      annotations?: Record<string, pulumi.Input<string>>
    ) =>
      new k8s.apiextensions.CustomResource(
        `${name}-${kind}-${called}`,
        {
          apiVersion,
          kind,
          metadata: { ...metadata(called), ...(annotations === undefined ? {} : { annotations }) },
          spec
        },
        within
      )
    const certificates = args.certificateMap.apply((reference) => reference.split("/").at(-1) ?? "")
    custom(
      "Gateway",
      "gateway.networking.k8s.io/v1",
      "sockets",
      {
        gatewayClassName: "gke-l7-global-external-managed",
        addresses: [{ type: "NamedAddress", value: address.name }],
        listeners: [
          {
            name: "https",
            protocol: "HTTPS",
            port: 443,
            hostname: args.socketHost,
            allowedRoutes: { namespaces: { from: "Same" } }
          }
        ]
      },
      { "networking.gke.io/certmap": certificates }
    )
    custom("HTTPRoute", "gateway.networking.k8s.io/v1", "sockets", {
      parentRefs: [{ name: "sockets" }],
      hostnames: [args.socketHost],
      rules: [
        {
          // Sockets and nothing else: the rest of the API is the edge's.
          matches: [{ path: { type: "PathPrefix", value: "/ws/" } }],
          backendRefs: [{ name: names.gatewayService, port: names.gatewayPort }]
        }
      ]
    })
    const targetRef = { group: "", kind: "Service", name: names.gatewayService }
    custom("GCPBackendPolicy", "networking.gke.io/v1", names.gatewayService, {
      default: {
        timeoutSec: SOCKET_SECONDS,
        connectionDraining: { drainingTimeoutSec: 60 },
        securityPolicy: args.armorPolicy,
        logging: { enabled: true, sampleRate: 100_000 }
      },
      targetRef
    })
    custom("HealthCheckPolicy", "networking.gke.io/v1", names.gatewayService, {
      default: {
        checkIntervalSec: 5,
        timeoutSec: 2,
        healthyThreshold: 1,
        unhealthyThreshold: 2,
        config: { type: "HTTP", httpHealthCheck: { port: names.gatewayPort, requestPath: "/readyz" } }
      },
      targetRef
    })
    const pools = args.enterprise ? Object.values(names.runnerPools) : [names.runnerPools.default]
    for (const app of [...pools, names.gatewayService]) {
      custom("PodMonitoring", "monitoring.googleapis.com/v1", app, {
        selector: { matchLabels: { app } },
        endpoints: [{ port: "http", path: "/metrics", interval: "30s" }]
      })
    }
    this.registerOutputs({})
  }
}
