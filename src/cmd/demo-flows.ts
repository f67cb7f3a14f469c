/**
 * @module The flow lines that the demonstration shows: asks `cilium hubble observe` until the flows of
 * its connections have arrived.
 */
import type { Outcome } from '../sandbox/demo.ts';
import { selfCommand } from '../sandbox/self.ts';
import { waitFor } from '../sandbox/wait.ts';

const arriveTimeoutMs = 2000;
const flowsAsked = 400;
const linesShown = 24;

/** Verdict lines, newest last, as observe prints them. */
export async function demoFlows(socket: string, outcomes: readonly Outcome[]): Promise<string> {
  const denied = outcomes.filter((one) => !one.answered).length;
  let last = '';
  const enough = await waitFor('flows', arriveTimeoutMs, async () => {
    last = await observe(socket);
    const drops = last.split('\n').filter((line) => line.includes('DROPPED')).length;
    return drops >= denied && last.includes('ALLOWED') ? last : undefined;
  }).catch(() => last);
  return interesting(enough);
}

async function observe(socket: string): Promise<string> {
  const child = Bun.spawn(
    [
      ...selfCommand(),
      'hubble',
      'observe',
      '--server',
      `unix://${socket}`,
      '--last',
      String(flowsAsked),
    ],
    { stdin: 'ignore', stdout: 'pipe', stderr: 'pipe', detached: true },
  );
  const [text, errors] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  await child.exited;
  return text === '' ? errors : text;
}

/** Lines that say what a policy decided: verdicts and drops; the rest is the packets themselves. */
export function interesting(text: string): string {
  const lines = text.trimEnd().split('\n');
  const verdicts = lines.filter((line) => /policy-verdict|Policy denied|DROPPED|DENIED/.test(line));
  const shown = (verdicts.length > 0 ? verdicts : lines).slice(-linesShown);
  return shown.map((line) => `  ${line}\n`).join('');
}
