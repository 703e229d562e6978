/**
 * The way in for users: a global load balancer with Google's certificates, Cloud Armor before it, and behind it the stateless edge on
 * Cloud Run. Sockets have a host of their own, since Cloud Run ends a request after 60 minutes: `SocketGateway.ts`.
 */
import * as gcp from "@pulumi/gcp"
import * as pulumi from "@pulumi/pulumi"
import * as names from "../names.ts"
import type { EnvironmentSettings } from "../settings.ts"

export interface EdgeArgs {
  readonly environment: names.Environment
  readonly settings: EnvironmentSettings
  readonly network: pulumi.Output<string>
  readonly subnet: pulumi.Output<string>
  readonly armor: pulumi.Output<string>
  /** `//certificatemanager.googleapis.com/…`. */
  readonly certificateMap: pulumi.Output<string>
}

/** Paths of people who operate it. They sign in to Google first (IAP); users have no business there. */
const INTERNAL = ["/metrics", "/readyz", "/healthz", "/openapi.json", "/asyncapi.json"]

export class Edge extends pulumi.ComponentResource {
  /** E-mail of the account with which it signs in to the gateways. */
  readonly account: pulumi.Output<string>

  constructor(name: string, args: EdgeArgs, options?: pulumi.ComponentResourceOptions) {
    super("agents:platform:Edge", name, {}, options)
    const parent = { parent: this }
    const project = names.environmentProject(args.environment)
    const { edge, operators, origins, users } = args.settings
    const account = new gcp.serviceaccount.Account(
      `${name}-edge`,
      { project, accountId: names.edgeAccount, displayName: "The edge: calls the gateways in its users' names" },
      parent
    )
    this.account = account.email
    new gcp.projects.IAMMember(
      `${name}-edge-traces`,
      { project, role: "roles/cloudtrace.agent", member: account.member },
      parent
    )
    if (edge.image !== undefined) {
      new gcp.cloudrunv2.Service(
        `${name}-edge-service`,
        {
          project,
          name: "agents-edge",
          location: names.region,
          // Nobody goes around the load balancer, and so around Cloud Armor.
          ingress: "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER",
          // The edge verifies users' tokens itself. A Google account is not what they have, and `allUsers` is not needed.
          invokerIamDisabled: true,
          deletionProtection: false,
          labels: names.labels(args.environment, "edge"),
          template: {
            serviceAccount: account.email,
            // A call waits for a gateway for 25 s at most (src/gateway/edge/Remote.ts); what lasts longer has hung.
            timeout: "60s",
            // One process of Node, mostly waiting: more than these and its event loop is what they wait for.
            maxInstanceRequestConcurrency: 80,
            scaling: { minInstanceCount: edge.minInstances, maxInstanceCount: edge.maxInstances },
            vpcAccess: {
              egress: "PRIVATE_RANGES_ONLY",
              networkInterfaces: [{ network: args.network, subnetwork: args.subnet, tags: ["agents-edge"] }]
            },
            containers: [
              {
                image: edge.image,
                commands: ["/nodejs/bin/node"],
                args: ["/app/edge.js"],
                ports: { containerPort: 8080 },
                resources: { limits: { cpu: "1", memory: "512Mi" }, cpuIdle: true, startupCpuBoost: true },
                startupProbe: { httpGet: { path: "/healthz" }, periodSeconds: 2, failureThreshold: 15 },
                livenessProbe: { httpGet: { path: "/healthz" }, periodSeconds: 10, failureThreshold: 3 },
                envs: Object.entries({
                  GATEWAY_URL: `http://${names.gatewayAddress}:${names.gatewayPort}`,
                  IDENTITY_AUDIENCE: names.identityAudience,
                  USER_ISSUER: users.issuer,
                  USER_AUDIENCE: users.audience,
                  USER_JWKS_URL: users.jwksUrl,
                  CORS_ORIGINS: origins.join(","),
                  // The load balancer appends the client's address and then its own.
                  PROXY_HOPS: "2",
                  GOOGLE_CLOUD_PROJECT: project
                }).map(([key, value]) => ({ name: key, value }))
              }
            ]
          }
        },
        parent
      )
    }

    const endpoints = new gcp.compute.RegionNetworkEndpointGroup(
      `${name}-edge-endpoints`,
      {
        project,
        name: "agents-edge",
        region: names.region,
        networkEndpointType: "SERVERLESS",
        cloudRun: { service: "agents-edge" }
      },
      parent
    )
    const backend = (key: string, iap: boolean) =>
      new gcp.compute.BackendService(
        `${name}-${key}`,
        {
          project,
          name: key,
          loadBalancingScheme: "EXTERNAL_MANAGED",
          protocol: "HTTPS",
          backends: [{ group: endpoints.selfLink }],
          securityPolicy: args.armor,
          logConfig: { enable: true, sampleRate: 0.1 },
          ...(iap ? { iap: { enabled: true } } : {})
        },
        parent
      )
    const users_ = backend("agents-api", false)
    const internal = backend("agents-internal", true)
    new gcp.iap.WebBackendServiceIamMember(
      `${name}-operators-internal`,
      {
        project,
        webBackendService: internal.name,
        role: "roles/iap.httpsResourceAccessor",
        member: `group:${operators}`
      },
      parent
    )
    const urls = new gcp.compute.URLMap(
      `${name}-urls`,
      {
        project,
        name: "agents-api",
        defaultService: users_.selfLink,
        // What only our own parts say to one another is taken off what comes from outside.
        headerAction: { requestHeadersToRemoves: ["x-tenant-id", "x-agents-user-token"] },
        hostRules: [{ hosts: [edge.apiHost], pathMatcher: "api" }],
        pathMatchers: [
          {
            name: "api",
            defaultService: users_.selfLink,
            pathRules: [{ paths: INTERNAL, service: internal.selfLink }]
          }
        ]
      },
      parent
    )
    const address = new gcp.compute.GlobalAddress(
      `${name}-address`,
      { project, name: "agents-api", addressType: "EXTERNAL", labels: names.labels(args.environment, "edge") },
      // DNS points to it.
      { ...parent, protect: true }
    )
    const tls = new gcp.compute.SSLPolicy(
      `${name}-tls`,
      { project, name: "agents", profile: "MODERN", minTlsVersion: "TLS_1_2" },
      parent
    )
    const https = new gcp.compute.TargetHttpsProxy(
      `${name}-https`,
      {
        project,
        name: "agents-api",
        urlMap: urls.selfLink,
        certificateMap: args.certificateMap,
        sslPolicy: tls.selfLink,
        quicOverride: "NONE"
      },
      parent
    )
    const rule = (key: string, target: pulumi.Output<string>, portRange: string) =>
      new gcp.compute.GlobalForwardingRule(
        `${name}-${key}`,
        {
          project,
          name: key,
          loadBalancingScheme: "EXTERNAL_MANAGED",
          ipAddress: address.address,
          ipProtocol: "TCP",
          portRange,
          target,
          labels: names.labels(args.environment, "edge")
        },
        parent
      )
    rule("agents-api-https", https.selfLink, "443")
    const redirect = new gcp.compute.URLMap(
      `${name}-redirect`,
      {
        project,
        name: "agents-api-redirect",
        defaultUrlRedirect: {
          httpsRedirect: true,
          stripQuery: false,
          redirectResponseCode: "MOVED_PERMANENTLY_DEFAULT"
        }
      },
      parent
    )
    const http = new gcp.compute.TargetHttpProxy(
      `${name}-http`,
      { project, name: "agents-api-redirect", urlMap: redirect.selfLink },
      parent
    )
    rule("agents-api-http", http.selfLink, "80")
    this.registerOutputs({})
  }
}
