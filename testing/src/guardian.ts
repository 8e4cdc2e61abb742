/**
 * Private servers must not outlive the test process, however it ends (`kill -9` included). One small shell waits at the
 * other end of a pipe: when the pipe closes, it kills the process groups and removes the folders it was told of.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { Socket } from 'node:net';
import type { Writable } from 'node:stream';

// The lists are strings of words, so folders must not contain spaces; they come from mkdtemp in a temporary folder.
const script = `
groups=' '; folders=' '
while read -r verb value; do
  case $verb in
    group) groups="$groups$value " ;;
    forget-group) groups="\${groups%% $value *} \${groups#* $value }" ;;
    folder) folders="$folders$value " ;;
  esac
done
for group in $groups; do kill -KILL -"$group" 2>/dev/null; done
sleep 0.2
for folder in $folders; do rm -rf "$folder"; done
`;

let input: Writable | undefined;

function tell(line: string): void {
  input ??= startGuardian();
  input.write(`${line}\n`);
}

function startGuardian(): Writable {
  const child = spawn('/bin/sh', ['-c', script], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
  child.unref();
  if (child.stdin === null) throw new Error('Expected the guardian shell to have an input');
  // A socket underneath: unreferenced, it does not keep the test process alive.
  if (child.stdin instanceof Socket) child.stdin.unref();
  child.stdin.on('error', () => undefined);
  return child.stdin;
}

/** From now on the process group of `child` (started detached) dies with this process. */
export function guardGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  tell(`group ${child.pid}`);
  child.once('exit', () => {
    tell(`forget-group ${child.pid}`);
  });
}

/** From now on `folder` is removed when this process ends. */
export function guardFolder(folder: string): void {
  tell(`folder ${folder}`);
}
