/** bench/results.md: the stored results as tables. It holds nothing that was not measured. */
import type { AxisResult, FigureResult, FiguresResult, PathResult, Results } from './results.ts';
import type { Summary } from './statistics.ts';

const megabyte = 1_000_000;
const dash = '–';

/** Whole numbers from a hundred on, three places below. Null is what JSON makes of a number that there is not. */
export function formatNumber(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return dash;
  if (Math.abs(value) >= 100 || Number.isInteger(value)) return Math.round(value).toLocaleString('en-US');
  return String(Number(value.toPrecision(3)));
}

export function formatSummary({ median, min, max }: Summary): string {
  return `${formatNumber(median)} (${formatNumber(min)}${dash}${formatNumber(max)})`;
}

export function formatMemory(peakMemory: Readonly<Record<string, number>>): string {
  return Object.entries(peakMemory)
    .map(([name, bytes]) => `${name} ${formatNumber(Math.round(bytes / megabyte))} MB`)
    .join(', ');
}

export function formatTarget({ target, atLeastPerSecond }: PathResult): string {
  const parts = [
    ...(target === 0 ? [] : [`ratio ${String(target)}`]),
    ...(atLeastPerSecond === undefined ? [] : [`${formatNumber(atLeastPerSecond)}/s`]),
  ];
  return parts.length === 0 ? dash : parts.join(', ');
}

/** Of a row without a target there is nothing to say unless its memory is too much. */
function formatVerdict(path: PathResult): string {
  if (path.missed.length > 0) return `**missed**: ${path.missed.join(', ')}`;
  return formatTarget(path) === dash ? '' : 'met';
}

export function formatLimit({ atLeast, atMost }: FigureResult): string {
  if (atLeast !== undefined) return `at least ${formatNumber(atLeast)}`;
  return atMost === undefined ? dash : `at most ${formatNumber(atMost)}`;
}

function day(measuredAt: string): string {
  return measuredAt.slice(0, 10);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

function pathTable(paths: readonly PathResult[]): string {
  return table(
    [
      'row',
      'events/s',
      'floor',
      'events/s of the floor',
      'ratio',
      'target',
      '',
      'peak memory',
      'CPU, s per 100,000 events',
      'rounds',
      'measured',
    ],
    paths.map((path) => [
      path.name,
      formatSummary(path.eventsPerSecond),
      path.floor,
      formatSummary(path.floorEventsPerSecond),
      path.ratio.toFixed(2),
      formatTarget(path),
      formatVerdict(path),
      formatMemory(path.peakMemory),
      path.cpuSecondsPer100k.toFixed(2),
      String(path.rounds),
      day(path.measuredAt),
    ]),
  );
}

function figureSection({ name, what, figures, measuredAt }: FiguresResult): string {
  const hasLimit = (figure: FigureResult): boolean => figure.atLeast !== undefined || figure.atMost !== undefined;
  const rows = figures.map((figure) => [
    figure.name,
    `${formatNumber(figure.value)} ${figure.unit}`,
    formatLimit(figure),
    hasLimit(figure) ? (figure.isMet ? 'met' : '**missed**') : '',
  ]);
  return `### ${name}\n\n${capital(what)}. Measured ${day(measuredAt)}.\n\n${table(['', 'value', 'limit', ''], rows)}`;
}

function axisSection({ name, what, columns, rows, measuredAt }: AxisResult): string {
  return `### ${name}\n\n${capital(what)}. One round, measured ${day(measuredAt)}.\n\n${table(
    columns,
    rows.map((row) => row.map(formatNumber)),
  )}`;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** What a command closed with, as it was printed; its first line is the command. */
export interface ClosingTable {
  readonly day: string;
  readonly text: string;
}

function closingSection({ day: on, text }: ClosingTable): string {
  const [command = '', ...lines] = text.trim().split('\n');
  return `### ${command}\n\nRun ${on}.\n\n\`\`\`\n${lines.join('\n').trim()}\n\`\`\``;
}

export function renderResults(
  { machine, paths, figures, axes, against }: Results,
  closings: readonly ClosingTable[] = [],
): string {
  const sections = [
    `# What was measured

Written by \`make bench\`, \`make bench-axes\` and \`make bench AGAINST=…\`; not by hand. Broker, Redis, simulator, destination and what is measured share the cores of one machine. A row is measured again by
\`make bench ONLY=<row>\`. What the rows mean for a cluster: [docs/scaling.md](../docs/scaling.md).`,
    table(
      ['', ''],
      [
        ['processor', `${machine.cpu}, ${String(machine.cores)} cores`],
        ['memory', `${String(machine.memoryGiB)} GiB`],
        ['Node.js', machine.node],
        ['RabbitMQ', machine.rabbitmq],
        ['Redis', machine.redis],
      ],
    ),
  ];
  const events = 'Events of the recording, 5.8 KB in the mean.';
  if (paths.length > 0) {
    sections.push(
      `## Paths\n\nEach path and its floor, the barest program that does the same, in turn; median (least${dash}most) of the rounds. A service above 150 MB misses its target too. ${events}`,
      pathTable(paths),
    );
  }
  if (figures.length > 0) sections.push('## Promises in numbers', ...figures.map(figureSection));
  if (axes.length > 0) sections.push('## How cost grows', ...axes.map(axisSection));
  if (against.length > 0) sections.push('## Other forwarders on the load of `standalone`', pathTable(against));
  if (closings.length > 0) sections.push('## Closing tables', ...closings.map(closingSection));
  return `${sections.join('\n\n')}\n`;
}
