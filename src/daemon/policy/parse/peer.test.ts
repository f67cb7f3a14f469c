import { describe } from 'bun:test';
import {
  at,
  cnp,
  denied,
  egress,
  expression,
  ingress,
  labels,
  later,
  repeat,
  tcp80,
  testAccepted,
  testRefused,
  to,
} from './case-fixture.ts';

const world = '{reserved:world=[]} | {reserved:world-ipv4=[]} | {reserved:world-ipv6=[]}';
const reserved = (...names: string[]) => names.map((each) => `{reserved:${each}=[]}`).join(' | ');

describe('entities', () => {
  testAccepted([
    ['all', ingress({ fromEntities: ['all'] }), ['ingress[0] allow any on all']],
    ['all and another', egress({ toEntities: ['host', 'all'] }), ['egress[0] allow any on all']],
    ['none', ingress({ fromEntities: ['none'] }), ['ingress[0] allow nobody on all']],
    ['world', ingress({ fromEntities: ['world'] }), [`ingress[0] allow ${world} on all`]],
    [
      'the other entities',
      ingress({
        fromEntities: [
          'world-ipv4',
          'world-ipv6',
          'host',
          'init',
          'ingress',
          'unmanaged',
          'remote-node',
          'health',
          'kube-apiserver',
        ],
      }),
      [
        `ingress[0] allow ${reserved('world-ipv4', 'world-ipv6', 'host', 'init', 'ingress', 'unmanaged', 'remote-node', 'health', 'kube-apiserver')} on all`,
      ],
    ],
    [
      'cluster',
      egress({ toEntities: ['cluster'] }),
      [
        `egress[0] allow ${reserved('host', 'remote-node', 'init', 'ingress', 'health', 'unmanaged', 'kube-apiserver')} | {k8s:CLUSTER=[home]} on all`,
      ],
    ],
  ]);
});

describe('blocks', () => {
  testAccepted([
    [
      'blocks of both families, host bits cleared',
      ingress({ fromCIDR: ['10.1.2.3/8', '2001:DB8::1/32', '0.0.0.0/0', '::/0'] }),
      [
        'ingress[0] allow outside 10.0.0.0/8 | outside 2001:db8::/32 | outside 0.0.0.0/0 | outside ::/0 on all',
      ],
    ],
    [
      'sets with exceptions, sorted and each once',
      egress({
        toCIDRSet: [
          {
            cidr: '10.0.0.0/8',
            except: ['10.2.0.0/16', '10.1.0.0/16', '10.2.0.1/16', '10.0.0.0/8'],
          },
          { cidr: 'fd00::/8', except: [] },
        ],
      }),
      [
        'egress[0] allow outside 10.0.0.0/8 but 10.0.0.0/8 but 10.1.0.0/16 but 10.2.0.0/16 | outside fd00::/8 on all',
      ],
    ],
    [
      'groups',
      ingress({
        fromCIDRSet: [
          { cidrGroupRef: 'partners', except: ['10.0.0.0/8'] },
          { cidrGroupSelector: labels({ kind: 'vpn' }) },
          { cidrGroupSelector: {} },
        ],
      }),
      ['ingress[0] allow group partners but 10.0.0.0/8 | group {any:kind=[vpn]} | group {} on all'],
    ],
    [
      'blocks in deny sections',
      cnp({ egressDeny: [{ toCIDR: ['10.0.0.0/8'], ...tcp80 }] }),
      ['egressDeny[0] deny outside 10.0.0.0/8 on 6:80'],
    ],
  ]);
});

describe('nodes and services', () => {
  testAccepted([
    [
      'nodes',
      ingress({ fromNodes: [labels({ 'node:zone': 'a' }), expression('zone', 'Exists'), {}] }),
      ['ingress[0] allow nodes {node:zone=[a]} | nodes {any:zone} | nodes {} on all'],
    ],
    [
      'services',
      egress({
        toServices: [
          { k8sService: { serviceName: 'db', namespace: 'data' } },
          { k8sService: { serviceName: 'db' } },
          { k8sServiceSelector: { selector: labels({ tier: 'db' }), namespace: 'data' } },
          { k8sServiceSelector: { selector: {}, namespace: '' } },
        ],
      }),
      [
        'egress[0] allow service data/db | service */db | service data/{any:tier=[db]} | service */{} on all',
      ],
    ],
    [
      'services in deny sections',
      cnp({ egressDeny: [{ toServices: [{ k8sService: { serviceName: 'db' } }] }] }),
      ['egressDeny[0] deny service */db on all'],
    ],
  ]);
});

describe('refused', () => {
  testRefused([
    [
      ingress({ fromEndpoint: [] }),
      `${at}.fromEndpoint: unknown field (did you mean fromEndpoints?)`,
    ],
    [
      ingress({ toEndpoints: [] }),
      `${at}.toEndpoints: unknown field (did you mean fromEndpoints?)`,
    ],
    [
      ingress({ toServices: [] }),
      `${at}.toServices: is possible in egress only; use fromEndpoints with the labels of its pods`,
    ],
    [
      ingress({ toFQDNs: [{ matchName: 'a.b' }] }),
      `${at}.toFQDNs: is possible in egress only; use fromCIDR or fromCIDRSet`,
    ],
    [
      cnp({ egressDeny: [{ toFQDNs: [{ matchName: 'a.b' }] }] }),
      'ns/foo: spec.egressDeny[0].toFQDNs: is possible in egress only; a deny rule needs addresses: use toCIDR or toCIDRSet',
    ],
    [
      denied({ toFQDNs: [] }),
      'ns/foo: spec.ingressDeny[0].toFQDNs: is possible in egress only; use fromCIDR or fromCIDRSet',
    ],
    [
      egress({ fromEndpoints: [] }),
      `${to}.fromEndpoints: unknown field (did you mean toEndpoints?)`,
    ],
    [ingress({ fromEndpoints: null }), `${at}.fromEndpoints: must be a list, is null`],
    [
      ingress({ fromEndpoints: repeat(1001, {}) }),
      `${at}.fromEndpoints: has 1001 entries, at most 1000 are possible`,
    ],
    [ingress({ fromEndpoints: [[]] }), `${at}.fromEndpoints[0]: must be an object, is []`],
    [
      ingress({ fromEndpoints: [{}], fromEntities: ['host'] }),
      `${at}: fromEndpoints and fromEntities cannot stand together; use one entry for each`,
    ],
    [
      ingress({ fromEndpoints: [], fromCIDR: [] }),
      `${at}: fromEndpoints and fromCIDR cannot stand together; use one entry for each`,
    ],
    [
      egress({ toServices: [], toNodes: [] }),
      `${to}: toNodes and toServices cannot stand together; use one entry for each`,
    ],
    [
      ingress({ fromEntities: ['wrold'] }),
      `${at}.fromEntities[0]: unknown entity "wrold" (did you mean world?)`,
    ],
    [ingress({ fromEntities: [1] }), `${at}.fromEntities[0]: must be a string: "1"`],
    [
      ingress({ fromCIDR: ['10.0.0.1'] }),
      `${at}.fromCIDR[0]: not a block of addresses: "10.0.0.1"; one address is 10.0.0.1/32`,
    ],
    [
      ingress({ fromCIDR: ['fd00::1'] }),
      `${at}.fromCIDR[0]: not a block of addresses: "fd00::1"; one address is fd00::1/128`,
    ],
    [
      ingress({ fromCIDR: ['10.0.0.0/33'] }),
      `${at}.fromCIDR[0]: not a block of addresses: "10.0.0.0/33"`,
    ],
    [
      ingress({ fromCIDR: ['010.0.0.0/8'] }),
      `${at}.fromCIDR[0]: not a block of addresses: "010.0.0.0/8"`,
    ],
    [ingress({ fromCIDR: ['x'] }), `${at}.fromCIDR[0]: not a block of addresses: "x"`],
    [
      ingress({ fromCIDRSet: [{}] }),
      `${at}.fromCIDRSet[0]: must have exactly one of cidr, cidrGroupRef, cidrGroupSelector`,
    ],
    [
      ingress({ fromCIDRSet: [{ cidr: '10.0.0.0/8', cidrGroupRef: 'a' }] }),
      `${at}.fromCIDRSet[0]: must have exactly one of cidr, cidrGroupRef, cidrGroupSelector`,
    ],
    [
      ingress({ fromCIDRSet: [{ cidrGroupRef: 'A' }] }),
      `${at}.fromCIDRSet[0].cidrGroupRef: not a name: "A"`,
    ],
    [
      ingress({ fromCIDRSet: [{ cidrGroupSelector: { matchLabels: { 'cidr:a': '' } } }] }),
      `${at}.fromCIDRSet[0].cidrGroupSelector.matchLabels["cidr:a"]: labels here have the source k8s or none, not "cidr"`,
    ],
    [
      ingress({ fromCIDRSet: [{ cidr: '10.0.0.0/8', except: ['11.0.0.0/16'] }] }),
      `${at}.fromCIDRSet[0].except[0]: "11.0.0.0/16" does not lie in 10.0.0.0/8`,
    ],
    [
      ingress({ fromCIDRSet: [{ cidr: '10.0.0.0/8', except: ['::/0'] }] }),
      `${at}.fromCIDRSet[0].except[0]: "::/0" does not lie in 10.0.0.0/8`,
    ],
    [
      ingress({ fromNodes: [{ matchLabels: { 'k8s:a': '' } }] }),
      `${at}.fromNodes[0].matchLabels["k8s:a"]: labels here have the source node or none, not "k8s"`,
    ],
    [ingress({ fromRequires: [1] }), `${at}.fromRequires[0]: must be an object, is 1`],
    [
      egress({ toServices: [{}] }),
      `${to}.toServices[0]: must have exactly one of k8sService and k8sServiceSelector`,
    ],
    [
      egress({ toServices: [{ k8sService: {} }] }),
      `${to}.toServices[0].k8sService.serviceName: is missing`,
    ],
    [
      egress({ toServices: [{ k8sService: { serviceName: 'A' } }] }),
      `${to}.toServices[0].k8sService.serviceName: not the name of a service: "A"`,
    ],
    [
      egress({ toServices: [{ k8sService: { serviceName: 'a', namespace: 'A' } }] }),
      `${to}.toServices[0].k8sService.namespace: not a namespace: "A"`,
    ],
    [
      egress({ toServices: [{ k8sServiceSelector: {} }] }),
      `${to}.toServices[0].k8sServiceSelector.selector: is missing`,
    ],
    [
      ingress({ fromGroups: [{ aws: { region: 1 } }] }),
      `${at}.fromGroups[0].aws.region: must be a string: "1"`,
    ],
    [ingress({ fromGroups: [{ gcp: {} }] }), `${at}.fromGroups[0].gcp: unknown field`],
    [
      egress({ toFQDNs: [{}] }),
      `${to}.toFQDNs[0]: must have exactly one of matchName and matchPattern`,
    ],
    [
      egress({ toFQDNs: [{ matchName: 'a', matchPattern: 'a' }] }),
      `${to}.toFQDNs[0]: must have exactly one of matchName and matchPattern`,
    ],
    [
      egress({ toFQDNs: [{ matchName: '*.a' }] }),
      `${to}.toFQDNs[0].matchName: not a DNS name: "*.a"`,
    ],
    [egress({ toFQDNs: [{ matchName: '' }] }), `${to}.toFQDNs[0].matchName: not a DNS name: ""`],
    [
      egress({ toFQDNs: [{ matchPattern: 'a..b' }] }),
      `${to}.toFQDNs[0].matchPattern: not a DNS name: "a..b"`,
    ],
    [
      egress({ toFQDNs: [{ matchName: 'a'.repeat(256) }] }),
      `${to}.toFQDNs[0].matchName: has more than 255 characters`,
    ],
  ]);
});

describe('valid but not carried out', () => {
  testRefused(
    [
      [
        egress({ toFQDNs: [{ matchName: 'a.example.com.' }, { matchPattern: '**.b' }] }),
        `${to}.toFQDNs: valid, but DNS rules ${later}`,
      ],
      [
        ingress({
          fromGroups: [{ aws: { labels: { a: 'b' }, region: 'x', securityGroupsIds: ['y'] } }],
        }),
        `${at}.fromGroups: cloud provider groups are not supported`,
      ],
      [egress({ toGroups: [] }), `${to}.toGroups: cloud provider groups are not supported`],
    ],
    true,
  );
});
