import { Link } from '@tanstack/react-router';
import { Empty } from '../ui/parts.tsx';

export function Missing() {
  return (
    <main className="main">
      <Empty title="There is no such page">
        <p>The address is not one of the dashboard’s.</p>
        <Link to="/" className="button primary">
          Go to the fleet
        </Link>
      </Empty>
    </main>
  );
}
