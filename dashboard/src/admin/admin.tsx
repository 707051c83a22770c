import { Link, useSearch } from '@tanstack/react-router';
import { useMay } from '../api/session.ts';
import { Heading } from '../ui/parts.tsx';
import { Audit } from './audit.tsx';
import { Consoles } from './consoles.tsx';
import { Enrol } from './enrol.tsx';
import { Integrations } from './integrations.tsx';
import { Leaks } from './leaks.tsx';
import { Controllers } from './controllers.tsx';
import { Secrets } from './secrets.tsx';
import { Settings } from './settings.tsx';
import { Tokens } from './tokens.tsx';

const TABS = [
  { id: 'integrations', name: 'Integrations', role: 'viewer', page: Integrations },
  { id: 'enrol', name: 'Add hosts', role: 'admin', page: Enrol },
  { id: 'settings', name: 'Agents and settings', role: 'viewer', page: Settings },
  { id: 'tokens', name: 'Tokens', role: 'admin', page: Tokens },
  { id: 'secrets', name: 'Secrets', role: 'operator', page: Secrets },
  { id: 'audit', name: 'Audit log', role: 'admin', page: Audit },
  { id: 'consoles', name: 'Consoles', role: 'admin', page: Consoles },
  { id: 'leaks', name: 'Leaks', role: 'viewer', page: Leaks },
  { id: 'controllers', name: 'Controllers', role: 'viewer', page: Controllers },
] as const;

/** What administrators see to. Who may not do something does not see it. */
export function Admin() {
  const { tab = 'integrations' } = useSearch({ from: '/frame/admin' });
  const may = { viewer: useMay('viewer'), operator: useMay('operator'), admin: useMay('admin') };
  const tabs = TABS.filter(({ role }) => may[role]);
  const current = tabs.find(({ id }) => id === tab);
  return (
    <>
      <Heading title="Admin" />
      <nav className="tabs" aria-label="Admin">
        {tabs.map(({ id, name }) => (
          <Link
            key={id}
            to="/admin"
            search={{ tab: id }}
            aria-current={id === tab ? 'page' : undefined}
          >
            {name}
          </Link>
        ))}
      </nav>
      {current === undefined ? (
        <p className="note">This needs another role than yours; ask an administrator.</p>
      ) : (
        <current.page />
      )}
    </>
  );
}
