import { useCallback, useDeferredValue, useMemo, useState } from 'react';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { useHosts, useLiveStatus, useWorkers } from '../api/live.ts';
import { useMay } from '../api/session.ts';
import { count } from '../ui/amounts.ts';
import { Choice } from '../ui/choice.tsx';
import { Copyable, Empty, Heading, Loading } from '../ui/parts.tsx';
import { Search } from '../ui/search.tsx';
import { HOST_ACTS, type HostAct } from './acts.ts';
import { ConfirmAct } from './confirm.tsx';
import { filterHosts, groupHosts, groupKeys, hostState, slotOf, type FleetFilter } from './look.ts';
import { Wall } from './wall.tsx';

export interface FleetSearch extends FleetFilter {
  readonly group?: string;
}

/** Every host of the fleet, to be looked at from afar. */
export function Fleet() {
  const search = useSearch({ from: '/frame/' });
  const navigate = useNavigate({ from: '/' });
  const hosts = useHosts();
  const status = useLiveStatus();
  const mayAct = useMay('operator');
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const wanted = useDeferredValue(search);
  const shown = useMemo(() => filterHosts(sorted(hosts), wanted), [hosts, wanted]);
  const groups = useMemo(() => groupHosts(shown, wanted.group), [shown, wanted.group]);
  const set = (change: FleetSearch) =>
    void navigate({ search: (before) => ({ ...before, ...change }), replace: true });
  const select = useCallback(
    (name: string, on: boolean) =>
      setSelected((before) => {
        const after = new Set(before);
        if (on) after.add(name);
        else after.delete(name);
        return after;
      }),
    [],
  );
  if (hosts.length === 0)
    return status === 'connecting' ? <Loading what="the fleet" /> : <NoHosts />;
  const there = hosts.filter(({ name }) => selected.has(name));
  return (
    <>
      <Heading title="Fleet" lead={<Summary />} />
      <div className="filters" role="search">
        <Search
          value={search.q}
          placeholder="name, label, trouble"
          set={(value) => set({ q: value })}
        />
        <Choice
          label="State"
          value={search.state}
          options={[...new Set(hosts.map((host) => hostState(host).word))].toSorted()}
          set={(state) => set({ state })}
        />
        <Choice
          label="Image"
          value={search.image}
          options={[...new Set(hosts.flatMap(({ images }) => images))].toSorted()}
          set={(image) => set({ image })}
        />
        <Choice
          label="Trouble"
          value={search.trouble}
          options={['alarms', 'drift']}
          set={(trouble) => set({ trouble })}
        />
        <Choice
          label="Group by"
          none="nothing"
          value={search.group}
          options={['state', 'os', 'agent', ...groupKeys(hosts)]}
          set={(group) => set({ group })}
        />
      </div>
      {mayAct && (
        <Acts
          hosts={there}
          shown={shown.map(({ name }) => name)}
          setSelected={(names) => setSelected(new Set(names))}
        />
      )}
      {shown.length === 0 ? (
        <Empty title="No host is like that">
          <p>{count(hosts.length, 'host')} are hidden by the filters.</p>
          <button type="button" onClick={() => void navigate({ search: {}, replace: true })}>
            Show all
          </button>
        </Empty>
      ) : (
        <Wall groups={groups} selected={selected} select={mayAct ? select : undefined} />
      )}
      <Legend />
    </>
  );
}

const byName = new Intl.Collator(undefined, { numeric: true });

function sorted<Row extends { readonly name: string }>(rows: readonly Row[]): readonly Row[] {
  return rows.toSorted((a, b) => byName.compare(a.name, b.name));
}

function Summary() {
  const hosts = useHosts();
  const workers = useWorkers();
  const slots = hosts.reduce((sum, each) => sum + each.slots, 0);
  const kinds = workers.map(slotOf);
  const running = kinds.filter((kind) => kind === 'running').length;
  const ready = kinds.filter((kind) => kind === 'ready').length;
  const alarmed = hosts.filter(({ alarms }) => alarms.length > 0).length;
  return (
    <>
      {count(hosts.length, 'host')} with {count(slots, 'place')}:{' '}
      {count(running, 'runs a job', 'run jobs')}, {ready} {ready === 1 ? 'is' : 'are'} ready.{' '}
      {alarmed === 0
        ? 'No host has an alarm.'
        : `${count(alarmed, 'host has an alarm', 'hosts have alarms')}.`}
    </>
  );
}

function Acts({
  hosts,
  shown,
  setSelected,
}: {
  readonly hosts: ReturnType<typeof useHosts>;
  readonly shown: readonly string[];
  readonly setSelected: (names: readonly string[]) => void;
}) {
  const [act, setAct] = useState<HostAct>();
  const isAdmin = useMay('admin');
  return (
    <div className="actions" role="group" aria-label="With the selected hosts">
      <button type="button" onClick={() => setSelected(shown)}>
        Select all {shown.length}
      </button>
      <button type="button" disabled={hosts.length === 0} onClick={() => setSelected([])}>
        Select none
      </button>
      <span className="soft" role="status">
        {count(hosts.length, 'host')} selected
      </span>
      {HOST_ACTS.filter(({ role }) => isAdmin || role === 'operator').map((each) => (
        <button
          key={each.id}
          type="button"
          disabled={hosts.length === 0}
          onClick={() => setAct(each)}
        >
          {each.name}
        </button>
      ))}
      {act !== undefined && <ConfirmAct act={act} hosts={hosts} close={() => setAct(undefined)} />}
    </div>
  );
}

function Legend() {
  return (
    <div className="legend">
      <span>
        <span className="slot running" /> runs a job
      </span>
      <span>
        <span className="slot ready" /> ready
      </span>
      <span>
        <span className="slot preparing" /> is made
      </span>
      <span>
        <span className="slot failed" /> failed
      </span>
      <span>
        <span className="slot" /> free
      </span>
    </div>
  );
}

function NoHosts() {
  return (
    <Empty title="No host has joined yet">
      <p>
        Hosts run the workers. On the controller, make a token with which one may join; then start
        its agent:
      </p>
      <Copyable
        label="Commands that let a host join"
        text={`pomona token join --output join.token\npomona agent run --controller ${location.origin} --join-token-file join.token`}
      />
      <p>
        Or try it all on this machine with <code>pomona up</code>.
      </p>
    </Empty>
  );
}
