"""${message}."""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${'"' + up_revision + '"'}
down_revision = ${'"' + down_revision + '"' if down_revision else None}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the revision."""
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    """Refuse: a backup is made before every migration."""
    raise NotImplementedError("Restore the backup that was made before the migration.")
