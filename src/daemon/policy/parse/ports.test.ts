import { describe } from 'bun:test';
import {
  at,
  ingress,
  ports,
  repeat,
  tcp80,
  testAccepted,
  testRefused,
  toPorts,
} from './case-fixture.ts';

const portList = (list: unknown) => ingress({ toPorts: [{ ports: list }] });
const port = (fields: object) => portList([fields]);
const portAt = `${at}.toPorts[0].ports[0]`;

describe('accepted', () => {
  testAccepted([
    ['no protocol', ingress(ports({ port: '53' })), ['ingress[0] allow any on 6:53 17:53 132:53']],
    [
      'ANY',
      ingress(ports({ port: '53', protocol: 'ANY' })),
      ['ingress[0] allow any on 6:53 17:53 132:53'],
    ],
    [
      'port 0',
      ingress(ports({ port: '0', protocol: 'UDP' })),
      ['ingress[0] allow any on 17:0-65535'],
    ],
    [
      'ranges',
      ingress(
        ports(
          { port: '80', endPort: 90, protocol: 'TCP' },
          { port: '80', endPort: 80, protocol: 'TCP' },
          { port: '80', endPort: 0, protocol: 'TCP' },
          { port: '1', endPort: 65535, protocol: 'SCTP' },
        ),
      ),
      ['ingress[0] allow any on 6:80-90 6:80 6:80 132:1-65535'],
    ],
    [
      'names',
      ingress(ports({ port: 'Http', protocol: 'TCP' }, { port: 'dns-1' })),
      ['ingress[0] allow any on 6:http 6:dns-1 17:dns-1 132:dns-1'],
    ],
    [
      'several entries',
      ingress({
        toPorts: [
          { ports: [{ port: '1', protocol: 'TCP' }] },
          { ports: [{ port: '2', protocol: 'UDP' }] },
        ],
      }),
      ['ingress[0] allow any on 6:1 17:2'],
    ],
    [
      '40 ports',
      ingress(ports(...Array(40).fill({ port: '1', protocol: 'TCP' }))),
      [`ingress[0] allow any on ${Array(40).fill('6:1').join(' ')}`],
    ],
    [
      'empty rules of layer 7',
      ingress({ toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }], rules: {} }] }),
      ['ingress[0] allow any on 6:80'],
    ],
    [
      'authentication disabled',
      ingress({ ...tcp80, authentication: { mode: 'disabled' } }),
      ['ingress[0] allow any on 6:80'],
    ],
  ]);
});

describe('refused', () => {
  testRefused([
    [
      ingress({ toPorts: [{}] }),
      `${at}.toPorts[0].ports: names no port; leave toPorts out to mean every port and protocol`,
    ],
    [
      portList([]),
      `${at}.toPorts[0].ports: names no port; leave toPorts out to mean every port and protocol`,
    ],
    [
      portList(repeat(41, { port: '1' })),
      `${at}.toPorts[0].ports: has 41 entries, at most 40 are possible`,
    ],
    [ingress({ toPorts: [{ port: [] }] }).spec, 'document 1: kind: must be a string, is null'],
    [port({}), `${portAt}.port: is missing`],
    [port({ port: 80 }), `${portAt}.port: must be a string: "80"`],
    [port({ port: '65536' }), `${portAt}.port: not a port: "65536"`],
    [port({ port: '-1' }), `${portAt}.port: not a port: "-1"`],
    [port({ port: '' }), `${portAt}.port: not a port: ""`],
    [port({ port: 'a_b' }), `${portAt}.port: not a port: "a_b"`],
    [port({ port: 'a--b' }), `${portAt}.port: not a port: "a--b"`],
    [port({ port: 'a123456789012345' }), `${portAt}.port: not a port: "a123456789012345"`],
    [
      port({ port: '80', protocol: 'tcp' }),
      `${portAt}.protocol: must be one of TCP, UDP, SCTP, ANY, is "tcp" (did you mean TCP?)`,
    ],
    [
      port({ port: '80', protocol: 'ICMPv6' }),
      `${portAt}.protocol: ICMPv6 has no ports; use icmps`,
    ],
    [port({ port: '80', endPort: 79 }), `${portAt}.endPort: is below port 80`],
    [
      port({ port: '80', endPort: 65536 }),
      `${portAt}.endPort: must be a number from 0 to 65535, is 65536`,
    ],
    [
      port({ port: '80', endPort: '90' }),
      `${portAt}.endPort: must be a number from 0 to 65535, is "90"`,
    ],
    [port({ port: '0', endPort: 79 }), `${portAt}.endPort: needs a port above 0`],
    [port({ port: 'http', endPort: 79 }), `${portAt}.endPort: needs a port by number`],
    [port({ port: '80', portEnd: 1 }), `${portAt}.portEnd: unknown field (did you mean port?)`],
    [
      ingress({ ...toPorts({}), icmps: [{ fields: [{ type: 8 }] }] }),
      `${at}: icmps and toPorts cannot stand together; use one entry for each`,
    ],
  ]);
});
