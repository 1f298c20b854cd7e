import { describe, expect, it } from 'vitest';
import { replayText } from '../../../../src/audit/replay/report-text.ts';
import { percentText, verdictSentence } from '../../../../src/audit/replay/report-words.ts';
import { addTally, count, emptyTally } from '../../../../src/audit/replay/tally.ts';
import { addSpan, addTimeline, emptyTimeline } from '../../../../src/audit/replay/timeline.ts';
import { notReplayable } from '../../../../src/audit/replay/verdict.ts';
import { barChart } from '../../../../src/audit/report/bars.ts';
import { countText, htmlTable } from '../../../../src/audit/report/page.ts';
import { timelineChart } from '../../../../src/audit/report/timeline-chart.ts';

const MATCH = { verdict: 'MATCH', by: 'cedar' } as const;
const MISMATCH = {
  verdict: 'MISMATCH',
  by: 'cedar',
  field: 'decision',
  recorded: 'ALLOW',
  replayed: 'DENY',
} as const;
const at = (index: number, minute = 0) => ({
  index,
  decision_id: `d${index}`,
  timestamp: new Date(Date.UTC(2026, 0, 1, 0, minute)).toISOString(),
});

describe('a tally', () => {
  it('is the same whether it was counted in one piece or in two', () => {
    const [one, two, whole] = [emptyTally(), emptyTally(), emptyTally()];
    for (let i = 0; i < 40; i++) {
      const verdict = [MATCH, MISMATCH, notReplayable('erased')][i % 3] ?? MATCH;
      count(i < 20 ? one : two, at(i, i * 30), verdict);
      count(whole, at(i, i * 30), verdict);
    }
    const sum = emptyTally();
    addTally(sum, two);
    addTally(sum, one);
    expect({ ...sum, unreplayed: [] }).toEqual({ ...whole, unreplayed: [] });
    expect(sum.unreplayed).toHaveLength(whole.unreplayed.length);
  });

  it('holds no more than the first mismatches, and counts all', () => {
    const tally = emptyTally();
    for (let i = 0; i < 1000; i++) count(tally, at(i), { ...MISMATCH, field: `f${i}` });
    expect(tally.mismatches).toHaveLength(100);
    expect(tally.mismatch).toBe(1000);
    expect(tally.fields.size).toBeLessThanOrEqual(101);
    const more = emptyTally();
    count(more, at(-1), MISMATCH);
    addTally(more, tally);
    expect(more.mismatches).toHaveLength(100);
    expect(more.mismatches[0]?.index).toBe(-1);
  });

  it('counts what says no time, without a span', () => {
    const tally = emptyTally();
    count(tally, undefined, notReplayable('malformed'));
    count(tally, { timestamp: 'soon' }, MATCH);
    expect(tally).toMatchObject({ match: 1, notReplayable: 1, first: undefined });
    expect(tally.timeline.spans.size).toBe(0);
  });
});

describe('a timeline', () => {
  const one = { match: 1, mismatch: 0, notReplayable: 0 };

  it('stays bounded however long the time is, and loses nothing', () => {
    const timeline = emptyTimeline();
    for (let i = 0; i < 5000; i++) addSpan(timeline, { from: i * 3_600_000, ...one });
    expect(timeline.spans.size).toBeLessThanOrEqual(240);
    expect([...timeline.spans.values()].reduce((sum, { match }) => sum + match, 0)).toBe(5000);
    expect([...timeline.spans.keys()].every((from) => from % timeline.width === 0)).toBe(true);
  });

  it('takes the longer spans of the two where one is added to another', () => {
    const [short, long] = [emptyTimeline(), emptyTimeline()];
    addSpan(short, { from: 0, ...one });
    for (let i = 0; i < 1000; i++) addSpan(long, { from: i * 60_000, ...one });
    addTimeline(short, long);
    expect(short.width).toBe(long.width);
    expect([...short.spans.values()].reduce((sum, { match }) => sum + match, 0)).toBe(1001);
  });
});

describe('words', () => {
  it('never say 100 % of what is less', () => {
    expect(percentText(3, 3)).toBe('100 %');
    expect(percentText(1, 2)).toBe('50.0 %');
    expect(percentText(999_999, 1_000_000)).toBe('99.9999 %');
    expect(percentText(1e12 - 1, 1e12)).toBe('< 100 %');
    expect(percentText(0, 0)).toBe('–');
  });

  it('say what a run comes to', () => {
    const tally = emptyTally();
    expect(verdictSentence(tally)).toEqual({ text: 'There was no decision to replay.', tone: 'warn' });
    const erased = emptyTally();
    count(erased, at(1), notReplayable('erased'));
    expect(verdictSentence(erased)).toEqual({ text: 'None of 1 decisions can be replayed.', tone: 'warn' });
    count(tally, at(1), MATCH);
    expect(verdictSentence(tally)).toEqual({ text: 'The one decision comes out as recorded.', tone: 'good' });
    count(tally, at(2), notReplayable('erased'));
    expect(verdictSentence(tally)).toEqual({
      text: 'The one replayed decision comes out as recorded; 1 cannot be replayed.',
      tone: 'warn',
    });
    count(tally, at(3), MISMATCH);
    expect(verdictSentence(tally)).toEqual({
      text: '1 of 2 replayed decisions come out otherwise than recorded.',
      tone: 'bad',
    });
  });

  it('never steer the terminal, whatever a changed record holds', () => {
    const tally = emptyTally();
    const forged = '\u001B]0;owned\u0007\nMATCH 7';
    const record = { index: 1, decision_id: forged, timestamp: forged };
    count(tally, record, {
      verdict: 'MISMATCH',
      by: 'cedar',
      field: 'reason',
      recorded: forged,
      replayed: 'x',
    });
    const text = replayText('log', { tally, segments: 1, durationMs: 1, jobs: 1 });
    expect(text).not.toContain('\u001B');
    expect(text).not.toMatch(/^MATCH 7/m);
  });

  it('set thousands apart', () => {
    expect([7, 1000, 1_234_567].map(countText)).toEqual(['7', '1\u202F000', '1\u202F234\u202F567']);
  });
});

describe('charts', () => {
  it('draw what is not nothing so that it can be seen', () => {
    const svg = barChart(
      [
        { label: 'many', value: 1_000_000, tone: 'good' },
        { label: 'one', value: 1, tone: 'bad' },
        { label: 'none', value: 0, tone: 'dim' },
      ],
      'test',
    );
    expect([...svg.matchAll(/<rect[^>]* width="(\d+)"/g)].map(([, width]) => Number(width))).toEqual([
      490, 2, 0,
    ]);
    const series = [
      { name: 'match', tone: 'good' },
      { name: 'mismatch', tone: 'bad' },
    ] as const;
    const columns = [{ from: 0, values: [1_000_000, 1] }];
    const chart = timelineChart(columns, series, { spanMs: 60_000, label: 'test' });
    expect(chart).toContain('height="2.0" style="fill:var(--bad)"');
    expect(chart).toContain('each column a minute, UTC');
  });

  it('are nothing where there is nothing to draw', () => {
    expect(barChart([], 'test')).toBe('');
    expect(timelineChart([], [], { spanMs: 1, label: 'test' })).toBe('');
  });

  it('escape what they are given', () => {
    const evil = '<script>"&';
    const texts = [
      barChart([{ label: evil, value: 1, tone: 'good' }], evil),
      timelineChart([{ from: 0, values: [1] }], [{ name: evil, tone: 'bad' }], {
        spanMs: 60_000,
        label: evil,
      }),
      htmlTable([evil], [[evil]]),
    ];
    for (const text of texts) expect(text).not.toContain('<script');
  });
});
