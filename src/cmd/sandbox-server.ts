/**
 * @module `cilium sandbox-server` (not offered): the HTTP server inside a sandbox's pods.
 */
import { serveHttp } from '../sandbox/http.ts';
import type { Command } from './command.ts';

const defaultPort = 8080;

export const command: Command = {
  name: 'sandbox-server',
  summary: 'Serve a greeting over HTTP on all addresses',
  hidden: true,
  flags: [
    { name: 'port', kind: 'number', help: 'port (default 8080)' },
    { name: 'name', kind: 'string', help: 'who it says it is' },
  ],
  run: ({ flags }) => {
    serveHttp(flags.number('port') ?? defaultPort, flags.string('name') ?? 'nobody');
    // Serves until it is stopped.
    return new Promise(() => {});
  },
};
