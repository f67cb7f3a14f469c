/**
 * @module
 * The executable needs a kernel, glibc and nothing else: it runs in a root that
 * holds only those, without a temporary folder, from an empty directory.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

const dist = join(import.meta.dir, '../../dist');
const executable = join(dist, 'cilium');
let root: string;

beforeAll(() => {
  expect(existsSync(executable)).toBe(true);
  root = mkdtempSync('/tmp/cilium-test-root-');
  for (const library of librariesOf(executable)) {
    const target = join(root, library);
    mkdirSync(dirname(target), { recursive: true });
    copyFileSync(library, target);
  }
  mkdirSync(join(root, 'proc'));
  mkdirSync(join(root, 'empty'));
  copyFileSync(executable, join(root, 'cilium'));
});

afterAll(() => rmSync(root, { recursive: true, force: true }));

/** What the dynamic linker opens for it: all of it belongs to glibc. */
function librariesOf(program: string): string[] {
  const listing = Bun.spawnSync(['ldd', program]).stdout.toString();
  const paths = [...listing.matchAll(/(\/\S+) \(0x/g)].map((match) => match[1]!);
  const glibc = /^(ld-linux.*|lib(c|m|dl|pthread|rt))\.so\.\d+$/;
  expect(paths.filter((path) => !glibc.test(basename(path)))).toEqual([]);
  return paths;
}

/** In namespaces of its own, so that nothing stays mounted. */
function runAlone(argv: readonly string[]) {
  const script = 'mount -t proc proc "$0/proc" && cd "$0/empty" && exec chroot "$0" "$@"';
  const child = Bun.spawnSync(['unshare', '-m', 'sh', '-c', script, root, '/cilium', ...argv], {
    env: {},
  });
  return {
    code: child.exitCode,
    stdout: child.stdout.toString(),
    stderr: child.stderr.toString(),
  };
}

test('prints its version', () => {
  const { code, stdout, stderr } = runAlone(['--version']);
  expect(stderr).toBe('');
  expect(stdout).toMatch(/^cilium \d+\.\d+\.\d+/);
  expect(code).toBe(0);
});

test('opens libbpf from memory, with nowhere to write', () => {
  const { code, stdout, stderr } = runAlone(['features', '-o', 'json']);
  expect(stderr).toBe('');
  expect(code).toBe(0);
  const rows: { feature: string; answer: string }[] = JSON.parse(stdout);
  expect(rows.find((row) => row.feature === 'ring-buffer')?.answer).toBe('yes');
  expect(existsSync(join(root, 'tmp'))).toBe(false);
});

test('an unknown command is one line and exit code 2', () => {
  const { code, stdout, stderr } = runAlone(['vresion']);
  expect(stdout).toBe('');
  expect(stderr).toBe('cilium: unknown command "vresion": did you mean version?\n');
  expect(code).toBe(2);
});

test('settings in the folder where it is called are not obeyed', () => {
  const folder = mkdtempSync('/tmp/cilium-test-cwd-');
  try {
    Bun.spawnSync(
      [
        'sh',
        '-c',
        'printf \'preload = ["./x.ts"]\\n\' > bunfig.toml; echo "console.log(666)" > x.ts',
      ],
      {
        cwd: folder,
      },
    );
    const child = Bun.spawnSync([executable, 'version'], { cwd: folder });
    expect(child.stdout.toString()).not.toContain('666');
    expect(child.exitCode).toBe(0);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test.each(['cilium-agent', 'cilium-cni', 'cilium-dbg', 'hubble'])('link %s is there', (link) => {
  expect(existsSync(join(dist, link))).toBe(true);
});
