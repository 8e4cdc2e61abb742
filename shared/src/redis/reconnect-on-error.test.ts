import t from 'tap';
import { reconnectOnError } from './reconnect-on-error.ts';

t.test('only an answer about the state of the server asks for another connection', (t) => {
  const cases = [
    ["READONLY You can't write against a read only replica. script: 1, on @user_script:1.", true],
    ["ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -READONLY You can't write", true],
    ['LOADING Redis is loading the dataset in memory', true],
    ['MASTERDOWN Link with MASTER is down', true],
    ['NOREPLICAS Not enough good replicas to write.', true],
    ['CLUSTERDOWN Hash slot not served', true],
    ["NOPERM this user has no permissions to run the 'readonly' command", false],
    ["ERR unknown command 'READONLY'", false],
    ['ERR value of READONLY is wrong', false],
    ['OOM command not allowed', false],
    ['NOSCRIPT No matching script', false],
    ['MISCONF Redis is configured to save RDB snapshots', false],
  ] as const;
  for (const [message, isFailover] of cases) t.equal(reconnectOnError(new Error(message)), isFailover, message);
  t.end();
});
