/**
 * @module
 * Wires policy: the directory of policy files → rules → compiled policies → the policy maps.
 */
import type { Datapath } from '../datapath.ts';
import { describeOverflow } from '../policy/compile/overflow.ts';
import { PolicyController } from '../policy/controller.ts';
import { LastGoodPolicies } from '../policy/documents/last-good.ts';
import { PolicyReflector } from '../policy/documents/reflector.ts';
import {
  describeFiles,
  describeNodeRules,
  describeTwins,
  isFolderRow,
} from '../policy/documents/stand-in.ts';
import { describeEqualPriorities } from '../policy/explain/equal-priorities.ts';
import { kernelPolicyTarget } from '../policy/kernel/policy-target.ts';
import { PolicyReconciler } from '../policy/kernel/reconciler.ts';
import { PolicyRevision, policySubject } from '../policy/table.ts';
import { PolicyWarmUp } from '../policy/warm-up.ts';
import type { AgentConfig } from '../runtime/config.ts';
import type { HealthReporter } from '../runtime/health.ts';
import type { AgentTables } from '../tables.ts';
import type { AgentCore } from './core.ts';

/** Selectors and address blocks that no policy uses any more are forgotten this often, */
const sweepIntervalMs = 300_000;
/** in pieces that take a few milliseconds, so that a change of policy need not wait, */
const sweepLimits = { membersMax: 4096, blocksMax: 256 };
/** with this much time between them. */
const sweepPauseMs = 50;
const rulesQuietMs = 300;

const warmUpPieces = 60;
const warmUpPauseMs = 25;

export interface PolicyParts {
  readonly revision: PolicyRevision;
  readonly controller: PolicyController;
  /** Undefined without `static-cnp-path`. */
  readonly reflector: PolicyReflector | undefined;
  readonly reconciler: PolicyReconciler;
}

export function wirePolicy(core: AgentCore, datapath: Datapath): PolicyParts {
  const { config, tables, resources } = core;
  const revision = new PolicyRevision();
  const controller = resources.use(
    new PolicyController(
      {
        rules: tables.policyRules,
        objects: tables.clusterObjects,
        identities: tables.identities,
        endpoints: tables.endpoints,
        ipcache: tables.ipcache,
        remotePods: tables.remotePods,
        policies: tables.policies,
        peers: tables.policyPeers,
        addressSets: tables.addressSets,
        cookies: tables.cookies,
      },
      {
        enablePolicy: config.enablePolicy,
        allowLocalhost: allowsLocalhost(config),
        cidrMatchesNodes: config.policyCidrMatchesNodes,
        entriesMax: config.bpfPolicyMapMax,
      },
      revision,
      config.enableHostFirewall ? { nodeName: config.nodeName } : undefined,
    ),
  );
  const slots = core.health.reporter('policy.slots');
  let lacking = -1;
  const run = () => {
    const { length } = controller.run().withoutSlot;
    if (length === lacking) return;
    lacking = length;
    if (length === 0) slots.ok('every policy has one');
    else slots.degraded(`${length} policies have no slot: their endpoints deny everything`);
  };
  // Before the reconciler listens, so that it finds classes and policies computed.
  resources.use(tables.endpoints.subscribe(run));
  resources.use(tables.identities.subscribe(run));
  resources.use(tables.ipcache.subscribe(run));
  resources.use(tables.clusterObjects.subscribe(run));
  resources.use(tables.remotePods.subscribe(run));
  const reflector = policyReflector(core, revision, run);
  core.jobs.every('policy-address-sets', sweepIntervalMs, async (signal) => {
    while (!signal.aborted && controller.sweep(sweepLimits)) await Bun.sleep(sweepPauseMs);
  });
  const reconciler = policyReconciler(core, datapath);
  controller.follow(reconciler);
  return { revision, controller, reflector, reconciler };
}

/** `auto` means always under Kubernetes, where the kubelet probes pods. */
function allowsLocalhost({ allowLocalhost, enableK8s }: AgentConfig): boolean {
  return allowLocalhost === 'always' || (allowLocalhost === 'auto' && enableK8s);
}

function policyReflector(
  core: AgentCore,
  revision: PolicyRevision,
  run: () => void,
): PolicyReflector | undefined {
  const { config, tables, health, log, resources } = core;
  if (config.staticCnpPath === '') return undefined;
  const directory = health.reporter('policy.directory');
  const files = health.reporter('policy.files');
  const reportRules = ruleReporter(core);
  const reflector = new PolicyReflector({
    directory: config.staticCnpPath,
    cluster: config.clusterName,
    rules: tables.policyRules,
    objects: tables.clusterObjects,
    files: tables.policyFiles,
    revision,
    lastGood: new LastGoodPolicies(config.stateDir, (error) =>
      log.error('keep the last good content of a policy file', { error: String(error) }),
    ),
    onApplied: (names) => {
      run();
      reportFiles(files, tables);
      reportRules();
      for (const name of names) {
        const row = tables.policyFiles.get(name);
        if (row?.status.kind !== 'error') continue;
        const reason = row.status.message;
        if (isFolderRow(name)) log.warn('policy files not read', { name, reason });
        else log.error('policy file refused', { name, reason });
      }
    },
    onTrouble: (message) =>
      message === undefined ? directory.ok('watched') : directory.degraded(message),
  });
  return resources.use(reflector);
}

function policyReconciler(core: AgentCore, datapath: Datapath): PolicyReconciler {
  const { config, tables, health, log } = core;
  const report = health.reporter('policy.reconciler');
  let overflow: string | undefined;
  const reconciler = new PolicyReconciler({
    policies: tables.policies,
    peers: tables.policyPeers,
    addressSets: tables.addressSets,
    target: kernelPolicyTarget(datapath.maps, datapath.runtime, config.bpfPolicyMapMax),
    initialized: core.initialized.promise,
    onError: (error) => {
      report.degraded('write policy maps', error);
      log.error('write policy maps', { error: String(error) });
    },
    onWritten: () => {
      const problem = overflowText(tables);
      if (problem !== undefined && problem !== overflow) log.error('policy overflow', { problem });
      overflow = problem;
      if (problem === undefined) report.ok('in force');
      else report.degraded(problem);
    },
  });
  return core.resources.use(reconciler);
}

/** Endpoints that are closed because their policy does not fit; undefined if there are none. */
function overflowText({ policies, endpoints }: AgentTables): string | undefined {
  const texts: string[] = [];
  for (const { subject, identity, overflow } of policies.all()) {
    if (overflow === undefined) continue;
    const pods = endpoints
      .by('identity', identity)
      .filter((row) => policySubject(identity, row.ports) === subject)
      .map((row) => `${row.namespace}/${row.podName}`);
    const who = pods.length === 0 ? `identity ${identity}` : pods.join(', ');
    texts.push(`${who}: ${describeOverflow(overflow)}`);
  }
  return texts.length === 0 ? undefined : texts.join(' | ');
}

/** Looks at all rules if there are others, so it waits until changes have ended. */
function ruleReporter({ health, tables, config, resources }: AgentCore): () => void {
  const report = health.reporter('policy.rules');
  let lookedAt = -1;
  const look = () => {
    const rules = tables.policyRules;
    if (rules.revision === lookedAt) return;
    lookedAt = rules.revision;
    const problems = [
      describeTwins(rules),
      describeEqualPriorities(rules.all()),
      config.enableHostFirewall ? undefined : describeNodeRules(rules),
    ].filter((each) => each !== undefined);
    if (problems.length === 0) report.ok('each in one file');
    else report.degraded(problems.join('; '));
  };
  let timer: ReturnType<typeof setTimeout> | undefined;
  resources.defer(() => clearTimeout(timer));
  return () => {
    clearTimeout(timer);
    timer = setTimeout(look, rulesQuietMs);
    timer.unref();
  };
}

function reportFiles(report: HealthReporter, { policyFiles, policyRules }: AgentTables): void {
  const problem = describeFiles(policyFiles, policyRules);
  if (problem === undefined) report.ok('all in force');
  else report.degraded(problem);
}

/** The first policies take the time that later ones do. In pieces: each holds the thread a moment. */
export async function warmUpInPieces(signal: AbortSignal): Promise<void> {
  const warmUp = new PolicyWarmUp();
  for (let piece = 0; piece < warmUpPieces && !signal.aborted; piece++) {
    await Bun.sleep(warmUpPauseMs);
    warmUp.step();
  }
}
